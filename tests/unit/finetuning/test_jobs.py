"""What people do with jobs."""

from collections.abc import Callable
from typing import Any

import pytest

from maas.adapters.trainer.scripted import Script
from maas.application.actor import Actor
from maas.domain.catalog.facts import ModelFormat, ModelType
from maas.domain.catalog.model import Lineage, VersionStatus
from maas.domain.datasets.rows import DatasetType
from maas.domain.errors import Conflict, Invalid, JobImpossible, NotFound
from maas.domain.finetuning.job import JobStatus
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy
from maas.domain.identifiers import new_id
from maas.domain.identity import Role
from maas.domain.paging import PageRequest
from maas.domain.visibility import Visibility
from tests.unit.finetuning.conftest import Workshop

PEFT = {"model_format": ModelFormat.PEFT}


def field_of(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.problems[0].field)


def stranger() -> Actor:
    return Actor(user_id=new_id())


def test_a_new_job_has_defaults_and_is_offered_to_workers(workshop: Workshop) -> None:
    job = workshop.create(hyperparameters=None, config=None)

    assert job.status is JobStatus.QUEUED
    assert job.admitted
    assert (job.base_version, job.hyperparameters.learning_rate, job.config.save_steps) == ("1.0.0", 2e-4, 500)
    assert workshop.claim().lease.subject_id == job.id


def test_full_fine_tuning_learns_more_slowly_by_default(workshop: Workshop) -> None:
    assert workshop.create(algorithm=Algorithm.FULL).hyperparameters.learning_rate == 2e-5


def test_values_out_of_range_are_told_by_field_before_anything_else(workshop: Workshop) -> None:
    with pytest.raises(Invalid) as error:
        workshop.create(
            name="",
            base_model_id=new_id(),
            hyperparameters={"learning_rate": float("nan"), "batch_size": 0},
            config={"save_steps": 0},
        )

    fields = ["name", "hyperparameters.learning_rate", "hyperparameters.batch_size", "config.save_steps"]
    assert [problem.field for problem in error.value.problems] == fields
    assert error.value.code == "VALIDATION_003"


@pytest.mark.parametrize("field", ["base_model_id", "dataset_id"])
def test_an_id_that_is_missing_or_hidden_is_not_found(field: str, workshop: Workshop) -> None:
    other = new_id()
    hidden = {"base_model_id": workshop.add_model(owner_id=other)[0].id, "dataset_id": workshop.add_dataset(owner_id=other).id}

    for wrong in (new_id(), hidden[field]):
        with pytest.raises(NotFound) as error:
            workshop.create(None, **{field: wrong})
        assert field_of(error) == field


def test_another_persons_public_model_and_dataset_will_do(workshop: Workshop) -> None:
    model, _ = workshop.add_model(owner_id=new_id(), visibility=Visibility.PUBLIC)
    dataset = workshop.add_dataset(owner_id=new_id(), visibility=Visibility.PUBLIC)

    assert workshop.create(base_model_id=model.id, dataset_id=dataset.id).owner_id == workshop.actor.user_id


def test_a_version_may_be_chosen_and_must_exist_and_be_ready(workshop: Workshop) -> None:
    model, _ = workshop.add_model(version={"version": "2.0.0", "status": VersionStatus.FAILED})

    assert workshop.create(base_model_version="1.0.0").base_version == "1.0.0"
    with pytest.raises(NotFound) as missing:
        workshop.create(base_model_version="7")
    with pytest.raises(JobImpossible) as unready:
        workshop.create(base_model_id=model.id, base_model_version="2.0.0")
    with pytest.raises(JobImpossible) as none_ready:
        workshop.create(base_model_id=model.id)
    assert [field_of(error) for error in (missing, unready, none_ready)] == [
        "base_model_version",
        "base_model_version",
        "base_model_id",
    ]


def test_only_language_models_are_trained(workshop: Workshop) -> None:
    embedding, _ = workshop.add_model(type=ModelType.EMBEDDING, category="feature-extraction")
    without_tokenizer, _ = workshop.add_model(facts={"supported_tasks": (), "has_tokenizer": False})

    for model in (embedding, without_tokenizer):
        with pytest.raises(JobImpossible) as error:
            workshop.create(base_model_id=model.id)
        assert field_of(error) == "base_model_id"
        assert error.value.code == "FINETUNE_001"


def test_an_algorithm_that_cannot_be_had_is_refused_with_the_reason(workshop: Workshop) -> None:
    workshop.trainer.script = Script(obstacles={Algorithm.QLORA: "there is no GPU"})

    with pytest.raises(JobImpossible, match="there is no GPU") as error:
        workshop.create(algorithm=Algorithm.QLORA)
    assert field_of(error) == "algorithm"


def test_rows_to_evaluate_on_must_fit(workshop: Workshop) -> None:
    other_type = workshop.add_dataset(type=DatasetType.PREFERENCE)
    one_row = workshop.add_dataset(rows=1)
    same_type = workshop.add_dataset()
    wrong: list[dict[str, Any]] = [
        {"config": {"evaluation_strategy": EvaluationStrategy.STEPS, "eval_dataset_id": other_type.id}},
        {"config": {"eval_dataset_id": same_type.id}},
        {"config": {"evaluation_strategy": EvaluationStrategy.EPOCH}, "dataset_id": one_row.id},
    ]

    fields = []
    for changes in wrong:
        with pytest.raises(JobImpossible) as error:
            workshop.create(**changes)
        fields.append(field_of(error))
    with pytest.raises(NotFound) as missing:
        workshop.create(config={"evaluation_strategy": EvaluationStrategy.STEPS, "eval_dataset_id": new_id()})

    assert fields == ["config.eval_dataset_id", "config.eval_dataset_id", "dataset_id"]
    assert field_of(missing) == "config.eval_dataset_id"
    assert (
        workshop.create(config={"evaluation_strategy": EvaluationStrategy.STEPS, "eval_dataset_id": same_type.id}).eval_dataset_id
        == same_type.id
    )


def test_an_adapter_is_trained_with_what_it_adapts(workshop: Workshop) -> None:
    lineage = Lineage(base_model_id=workshop.base.id)
    adapter, _ = workshop.add_model(facts=PEFT, lineage=lineage, version={"source": {"base_version": "1.0.0"}})

    job = workshop.create(base_model_id=adapter.id)

    assert (job.adapter_base_id, job.adapter_base_version) == (workshop.base.id, "1.0.0")


def test_an_adapter_to_what_is_unknown_gone_or_hidden_is_refused(workshop: Workshop) -> None:
    hidden, _ = workshop.add_model(owner_id=new_id())
    lineages = [
        None,
        Lineage(base_model_id=new_id()),
        Lineage(base_model_id=hidden.id),
    ]
    adapters = [workshop.add_model(facts=PEFT, lineage=lineage)[0] for lineage in lineages]
    outdated = {"source": {"base_version": "0.9"}}
    adapters.append(workshop.add_model(facts=PEFT, lineage=Lineage(base_model_id=workshop.base.id), version=outdated)[0])

    for adapter in adapters:
        with pytest.raises(JobImpossible) as error:
            workshop.create(base_model_id=adapter.id)
        assert field_of(error) == "base_model_id"


def test_qlora_takes_no_adapter_as_its_base(workshop: Workshop) -> None:
    adapter, _ = workshop.add_model(facts=PEFT, lineage=Lineage(base_model_id=workshop.base.id))

    with pytest.raises(JobImpossible) as error:
        workshop.create(base_model_id=adapter.id, algorithm=Algorithm.QLORA)

    assert field_of(error) == "algorithm"


def test_the_name_of_the_result_is_reserved_and_not_seen(workshop: Workshop) -> None:
    first, second = workshop.create(), workshop.create()

    with workshop.house.database() as work:
        reserved = work.models.find_by_name("my job", owner_id=workshop.actor.user_id)
        assert reserved is not None
        assert reserved.id == first.result_model_id
        with pytest.raises(NotFound):
            work.models.get(reserved.id, visible_to=workshop.actor)
    assert (first.result_name, second.result_name) == ("my job", "my job (2)")
    assert first.result is None


def test_a_long_name_leaves_room_for_its_number(workshop: Workshop) -> None:
    workshop.create(name="x" * 200)

    assert workshop.create(name="x" * 200).result_name == "x" * 196 + " (2)"


def test_a_persons_fourth_job_waits_until_one_ends(workshop: Workshop) -> None:
    jobs = [workshop.create() for _ in range(5)]
    other = workshop.house.sign_up("bob")
    public, _ = workshop.add_model(visibility=Visibility.PUBLIC)
    data = workshop.add_dataset(visibility=Visibility.PUBLIC)

    assert [job.admitted for job in jobs] == [True, True, True, False, False]
    assert workshop.create(workshop.house.actor(other), base_model_id=public.id, dataset_id=data.id).admitted

    workshop.jobs.cancel(workshop.actor, jobs[1].id)

    assert [workshop.job(job.id).admitted for job in jobs] == [True, False, True, True, False]


def test_an_administrators_jobs_never_wait(workshop: Workshop) -> None:
    admin = workshop.house.actor(workshop.house.sign_up("ada", role=Role.ADMIN))

    assert all(workshop.create(admin).admitted for _ in range(5))


def test_strangers_know_of_no_job(workshop: Workshop) -> None:
    job = workshop.create()
    attempts: list[Callable[[Actor], object]] = [
        lambda actor: workshop.jobs.get(actor, job.id),
        lambda actor: workshop.jobs.change(actor, job.id, {"name": "mine"}),
        lambda actor: workshop.jobs.metrics(actor, job.id),
        lambda actor: workshop.jobs.logs(actor, job.id, PageRequest()),
        lambda actor: workshop.jobs.checkpoints(actor, job.id),
        lambda actor: workshop.jobs.cancel(actor, job.id),
        lambda actor: workshop.jobs.restart(actor, job.id),
        lambda actor: workshop.jobs.delete(actor, job.id),
    ]

    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt(stranger())
    assert workshop.jobs.page(stranger(), PageRequest()).total == 0
    assert workshop.jobs.page(workshop.actor, PageRequest(), status=JobStatus.QUEUED).total == 1


def test_name_and_description_change(workshop: Workshop) -> None:
    job = workshop.create(description="why")

    changed = workshop.jobs.change(workshop.actor, job.id, {"name": "new", "description": None})

    assert (changed.name, changed.description, changed.result_name) == ("new", None, "my job")


def test_a_waiting_job_is_cancelled_at_once_and_never_begun(workshop: Workshop) -> None:
    job = workshop.create()

    assert workshop.jobs.cancel(workshop.actor, job.id).status is JobStatus.CANCELLED
    workshop.run()

    assert workshop.trainer.requests == []
    with pytest.raises(Conflict):
        workshop.jobs.cancel(workshop.actor, job.id)


def test_only_failed_and_cancelled_jobs_restart(workshop: Workshop) -> None:
    waiting = workshop.create()
    with pytest.raises(Conflict):
        workshop.jobs.restart(workshop.actor, waiting.id)
    workshop.run()
    with pytest.raises(Conflict):
        workshop.jobs.restart(workshop.actor, waiting.id)


def test_a_job_whose_dataset_is_gone_does_not_restart(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.jobs.cancel(workshop.actor, job.id)
    with workshop.house.database() as work:
        work.datasets.remove(work.datasets.get(workshop.dataset.id, visible_to=workshop.actor))

    with pytest.raises(JobImpossible) as error:
        workshop.jobs.restart(workshop.actor, job.id)

    assert field_of(error) == "dataset_id"
    assert workshop.job(job.id).status is JobStatus.CANCELLED


def test_a_deleted_job_frees_the_reserved_name(workshop: Workshop) -> None:
    job = workshop.create()
    with pytest.raises(Conflict):
        workshop.jobs.delete(workshop.actor, job.id)
    workshop.jobs.cancel(workshop.actor, job.id)

    workshop.jobs.delete(workshop.actor, job.id)

    with pytest.raises(NotFound):
        workshop.jobs.get(workshop.actor, job.id)
    assert workshop.create().result_name == "my job"


def test_the_model_of_a_deleted_job_stays(workshop: Workshop) -> None:
    job = workshop.create()
    workshop.run()

    workshop.jobs.delete(workshop.actor, job.id)

    with workshop.house.database(read_only=True) as work:
        assert work.models.get(job.result_model_id, visible_to=workshop.actor).name == "my job"
