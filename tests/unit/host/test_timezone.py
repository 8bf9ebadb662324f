"""The zone of a host, from the places where systems keep it."""

from __future__ import annotations

from pathlib import Path

from hostagent.host.timezone import local_zone


def test_the_link_names_the_zone(tmp_path: Path) -> None:
    """Absolute or relative, as timedatectl and others write it."""
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc/localtime"
    link.symlink_to("/usr/share/zoneinfo/America/Argentina/Salta")
    assert local_zone(tmp_path) == "America/Argentina/Salta"
    link.unlink()
    link.symlink_to("../usr/share/zoneinfo/UTC")
    assert local_zone(tmp_path) == "UTC"
    link.unlink()
    link.symlink_to("/elsewhere")
    assert local_zone(tmp_path) is None


def test_a_copy_of_the_rules_needs_the_name_beside_it(tmp_path: Path) -> None:
    """Without one nobody can tell; without rules the zone is UTC."""
    assert local_zone(tmp_path) == "UTC"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/localtime").write_bytes(b"TZif2")
    assert local_zone(tmp_path) is None
    (tmp_path / "etc/timezone").write_text("Europe/Berlin\n")
    assert local_zone(tmp_path) == "Europe/Berlin"
