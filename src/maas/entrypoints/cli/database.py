"""Commands about the database's schema."""

from maas.entrypoints.cli.processes import DataDir
from maas.settings import Settings


def upgrade(data_dir: DataDir = None) -> None:
    """Bring the database to this release's schema; `maas serve` does so by itself."""
    from maas.container import migrate_database

    print(f"the schema is at {migrate_database(Settings.load(data_dir=data_dir))}")


def downgrade(data_dir: DataDir = None) -> None:
    """Take the newest step of the schema back; stop the platform first."""
    from maas.container import roll_back_database

    print(f"the schema is at {roll_back_database(Settings.load(data_dir=data_dir))}")


def status(data_dir: DataDir = None) -> None:
    """Tell the schema of the database, and that of this release."""
    from maas.container import schema_revisions

    current, newest = schema_revisions(Settings.load(data_dir=data_dir))
    print(f"the database is at {current or 'nothing'}, this release at {newest}")
