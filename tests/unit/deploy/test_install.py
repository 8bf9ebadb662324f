"""The agent's units beside a package, and without one: which files there are, and whose."""

from __future__ import annotations

from pathlib import Path

from hostagent.deploy import install
from hostagent.host.paths import system

UNITS = "etc/systemd/system"


def files(root: Path) -> set[str]:
    """Every file and link below a root."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def put_in(root: Path, store: str = "") -> list[Path]:
    """Install without a package, or beside it."""
    return install.install(system(root), exec_path="/opt/hostagent/bin/hostagent", store=store)


def test_a_package_has_the_same_files_elsewhere(tmp_path: Path) -> None:
    """What pip's installation writes into /etc, the package carries below /usr/lib, and no link."""
    packaged, written = tmp_path / "packaged", tmp_path / "written"
    install.ship(str(packaged))
    put_in(written)
    links = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_symlink()}
    assert all(path.startswith("usr/lib/") for path in files(packaged))
    assert {path.rpartition("/")[2] for path in files(packaged)} == {
        path.rpartition("/")[2] for path in files(written) - links
    }
    service = packaged / "usr/lib/systemd/system/hostagent.service"
    assert "\nExecStart=/usr/bin/hostagent agent run\n" in service.read_text()


def test_a_package_takes_over_from_an_installation_without_one(tmp_path: Path) -> None:
    """What would hide the package's files is removed; those and the store's drop-in stay."""
    put_in(tmp_path, "postgresql://db/jobs")
    install.ship(str(tmp_path))
    packages = files(tmp_path) - {path for path in files(tmp_path) if path.startswith("etc/")}
    put_in(tmp_path, "postgresql://db/jobs")
    drop_in = f"{UNITS}/hostagent.service.d/store.conf"
    left = {path for path in files(tmp_path) if not path.startswith("usr/local/")}
    assert left == {path for path in packages if not path.startswith("usr/local/")} | {drop_in}
    assert files(tmp_path) == left
    assert put_in(tmp_path, "postgresql://db/jobs") == []


def test_beside_a_package_only_the_stores_drop_in_comes_and_goes(tmp_path: Path) -> None:
    """The links that the package manager made, and the package's files, are not ours to touch."""
    install.ship(str(tmp_path))
    link = tmp_path / UNITS / "multi-user.target.wants/hostagent.service"
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/lib/systemd/system/hostagent.service")
    before = files(tmp_path)
    assert put_in(tmp_path) == []
    drop_in = tmp_path / UNITS / "hostagent.service.d/store.conf"
    assert put_in(tmp_path, "dir:///mnt/jobs") == [drop_in]
    assert install.uninstall(system(tmp_path)) == [drop_in]
    assert files(tmp_path) == before
