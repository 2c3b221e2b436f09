"""Models of a hub that speaks as Hugging Face's does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from maas.application.ports.model_source import ModelSource, SourceFile, SourceListing
from maas.domain.catalog.source import DEFAULT_REVISION, Source
from maas.domain.errors import MaasError, PlatformUnavailable, WrongForm

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HUGGING_FACE = "https://huggingface.co"
HUGGING_FACE_HOSTS = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co")
_TIMEOUT_SECONDS = 30.0
_MOST_REDIRECTS = 5
_MOST_RESUMES = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HubModelSource(ModelSource):
    """Asks the hub at `endpoint`. Redirects of downloads are followed to its own host and to `hosts` only (`*.example.com` names
    all hosts below); the token is told to the hub alone."""

    def __init__(self, *, endpoint: str | None = None, token: str | None = None, hosts: Sequence[str] = ()) -> None:
        self._endpoint = (endpoint or HUGGING_FACE).rstrip("/")
        self._token = token
        self._hosts = (*hosts, *(HUGGING_FACE_HOSTS if endpoint is None else ()))

    def check(self, source: Source) -> None:
        """Leave it to the import to ask the hub: it may be slow."""

    def open(self, source: Source) -> SourceListing:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self._endpoint, token=self._token or False)
        repository = source.repository or ""
        with _told_in_our_words():
            info = _info(api, repository, source.revision)
            files = _files_of(api, info, repository)
        return _HubListing(self, repository, info.sha or source.revision or DEFAULT_REVISION, files)

    def fetch(self, repository: str, revision: str, name: str, start: int) -> Iterator[bytes]:
        """Yield the bytes of a file from `start`."""
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(repository, name, revision=revision, endpoint=self._endpoint)
        for _ in range(_MOST_REDIRECTS):
            with _told_in_our_words(), _request(url, self._headers(url, start)) as response:
                if response.status_code not in _REDIRECTS:
                    yield from _body_of(response, start)
                    return
                url = urljoin(url, response.headers.get("Location", ""))
            self._check_host(url)
        raise WrongForm("the model hub redirects too often", field="source.repository")

    def _headers(self, url: str, start: int) -> dict[str, str]:
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined] # re-exported lazily

        is_hub = urlsplit(url)[:2] == urlsplit(self._endpoint)[:2]
        headers: dict[str, str] = build_hf_headers(token=(self._token or False) if is_hub else False)
        # What is counted and hashed is the file itself.
        return {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}

    def _check_host(self, url: str) -> None:
        parts, hub = urlsplit(url), urlsplit(self._endpoint)
        host = parts.hostname or ""
        listed = host == hub.hostname or any(_names(pattern, host) for pattern in self._hosts)
        if not listed or parts.scheme not in ("https", hub.scheme):
            raise WrongForm("the model hub redirects to {host}, which is not listed", field="source.repository", host=host[:200])


class _HubListing(SourceListing):
    def __init__(self, hub: HubModelSource, repository: str, revision: str, files: Sequence[SourceFile]) -> None:
        self._hub = hub
        self._repository = repository
        self.revision = revision
        self.files = files

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yield the bytes; what breaks off is taken up where it ended."""
        received = 0
        for attempt in range(_MOST_RESUMES + 1):
            try:
                for chunk in self._hub.fetch(self._repository, self.revision or DEFAULT_REVISION, file.name, received):
                    received += len(chunk)
                    yield chunk
            except PlatformUnavailable:
                if attempt == _MOST_RESUMES or not received:
                    raise
            else:
                if file.size is None or received >= file.size:
                    return
        raise PlatformUnavailable("the model hub breaks off")


def _info(api: "HfApi", repository: str, revision: str | None) -> Any:
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return api.model_info(repository, revision=revision or DEFAULT_REVISION, timeout=_TIMEOUT_SECONDS)
    except HfHubHTTPError:
        if revision is not None:
            raise
        # A simple mirror may know no revisions.
        return api.model_info(repository, timeout=_TIMEOUT_SECONDS)


def _files_of(api: "HfApi", info: Any, repository: str) -> list[SourceFile]:
    """Return the files of a revision with what the hub tells of each."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import RepoFile

    try:
        entries = list(api.list_repo_tree(repository, recursive=True, revision=info.sha))
    except HfHubHTTPError:
        # A simple mirror may know no trees; it names the files all the same.
        return [SourceFile(name=sibling.rfilename, size=sibling.size) for sibling in info.siblings or ()]
    return [
        SourceFile(name=entry.path, size=entry.size, sha256=entry.lfs.sha256 if entry.lfs else None)
        for entry in entries
        if isinstance(entry, RepoFile)
    ]


@contextmanager
def _request(url: str, headers: dict[str, str]) -> Iterator[Any]:
    from huggingface_hub import get_session

    with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=False) as response:
        yield response


def _body_of(response: Any, start: int) -> Iterator[bytes]:
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined] # re-exported lazily

    if response.status_code >= 400:
        response.read()
    hf_raise_for_status(response)
    if start and response.status_code != 206:
        raise PlatformUnavailable("the model hub breaks off")
    # As it comes: gathered into larger chunks, the last bytes before a break would be lost.
    yield from response.iter_raw()


@contextmanager
def _told_in_our_words() -> Iterator[None]:
    """Tell what the hub does not have from what it may have later."""
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except MaasError:
        raise
    except RevisionNotFoundError as error:
        raise WrongForm("the repository has no such revision", field="source.revision") from error
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise _no_repository() from error
    except HfHubHTTPError as error:
        if (
            error.response is not None
            and 400 <= error.response.status_code < 500
            and error.response.status_code not in (408, 429)
        ):
            raise _no_repository() from error
        raise PlatformUnavailable("the model hub cannot be reached") from error
    except (httpx2.HTTPError, OSError) as error:
        raise PlatformUnavailable("the model hub cannot be reached") from error


def _no_repository() -> WrongForm:
    return WrongForm("there is no such repository on the model hub, or it may not be read", field="source.repository")


def _names(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
