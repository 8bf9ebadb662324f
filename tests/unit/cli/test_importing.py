"""``hostagent import`` as it is typed: what is read, what is written, what is said."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


def hostagent(*words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command line."""
    command = [sys.executable, "-m", "hostagent", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A host with crontabs of each kind, in Berlin time."""
    for name, text in {
        "etc/crontab": "17 * * * * root run-parts /etc/cron.hourly\n",
        "etc/cron.d/sysstat": "5 * * * * root /usr/lib/sa1\n",
        "etc/cron.d/.placeholder": "not a crontab\n",
        "etc/cron.d/sysstat.dpkg-old": "not a crontab\n",
        "etc/anacrontab": "7 5 scrub /sbin/scrub\n",
        "var/spool/cron/crontabs/anna": "MAILTO=me\n@daily ./poll\n",
    }.items():
        path = tmp_path / "image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    zone = tmp_path / "image/etc/localtime"
    zone.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    return tmp_path / "image"


def test_without_files_all_that_cron_and_anacron_read_is_imported(
    image: Path, tmp_path: Path
) -> None:
    """What comes out passes check, plan and compile; warnings are no failure."""
    out = tmp_path / "jobs.toml"
    done = hostagent("import", "cron", "--root", image, "--out", out)
    summary, then = done.stdout.splitlines()
    assert (done.returncode, summary) == (0, f"{out}: 4 jobs, 2 warnings")
    assert then == (
        "next: look at it, move it to /etc/hostagent/jobs.d/, hostagent plan, hostagent apply; "
        "and take its lines out of cron, else both run them"
    )
    jobs = tomllib.loads(out.read_text())["job"]
    assert {name: job.get("user") for name, job in jobs.items()} == {
        "cron-hourly": "root",
        "sysstat": "root",
        "scrub": "root",
        "poll": "anna",
    }
    assert {job["timezone"] for job in jobs.values()} == {"Europe/Berlin"}
    old, anacron, mail = (line for line in done.stderr.splitlines() if "  hint: " not in line)
    assert (
        old == f"warning: {image}/etc/cron.d/sysstat.dpkg-old: left out, as cron does for its name"
    )
    assert f"{image}/etc/anacrontab:1:1: " in anacron
    assert f"{image}/var/spool/cron/crontabs/anna:1:1: MAILTO" in mail
    assert out.stat().st_mode & 0o777 == 0o600
    deploys(out, tmp_path)


def deploys(jobs_toml: Path, place: Path) -> None:
    """Check, plan and compile take it."""
    for words in (
        ("check", jobs_toml),
        ("plan", jobs_toml, "--root", place / "empty"),
        ("compile", jobs_toml, "--out", place / "units"),
    ):
        done = hostagent(*words)
        assert done.returncode == 0, done.stderr


def test_what_debians_packages_ship_comes_over_in_one_go(tmp_path: Path) -> None:
    """Thirty files; names are made distinct."""
    data = Path(__file__).parents[2] / "data/crontabs"
    files = [*data.glob("*/etc/cron.d"), *data.glob("*/etc/*crontab")]
    out = tmp_path / "jobs.toml"
    done = hostagent("import", "cron", *files, "--timezone", "Europe/Berlin", "--out", out)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{out}: 49 jobs, 18 warnings\nnext: ")
    deploys(out, tmp_path)


def test_a_file_that_exists_is_not_overwritten(image: Path, tmp_path: Path) -> None:
    """It may have been edited since."""
    out = tmp_path / "jobs.toml"
    out.write_text("mine")
    done = hostagent("import", "cron", "--root", image, "--out", out)
    assert (done.returncode, done.stdout, out.read_text()) == (2, "", "mine")
    assert f"hostagent: {out} exists: it is not overwritten" in done.stderr


def test_a_crontab_is_read_from_standard_input() -> None:
    """As ``crontab -l`` prints it."""
    words = ("import", "cron", "-", "--owner", "anna", "--timezone", "UTC")
    done = hostagent(*words, given="@daily /bin/x\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert tomllib.loads(done.stdout)["job"]["x"]["user"] == "anna"


def test_bad_lines_are_bad_input(image: Path, tmp_path: Path) -> None:
    """With their place; nothing is written."""
    (image / "etc/crontab").write_text("x\n* * * * * root y\n61 * * * * root z\n")
    out = tmp_path / "jobs.toml"
    done = hostagent("import", "cron", image / "etc/crontab", "--out", out)
    assert (done.returncode, done.stdout, out.exists()) == (2, "", False)
    assert f"{image}/etc/crontab:1:1: is neither a setting nor an entry" in done.stderr
    assert f'{image}/etc/crontab:3:1: "61 * * * *" is not a cron expression' in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("/nowhere/crontab",), "/nowhere/crontab cannot be read: No such file or directory"),
        (("-", "--timezone", "Mars/Phobos"), '"Mars/Phobos" is not a time zone'),
        (("--root", "{image}"), "{image}/etc/crontab:1:3: is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_bad_input(
    image: Path, words: tuple[str, ...], message: str
) -> None:
    """And no traceback."""
    (image / "etc/crontab").write_bytes(b"# \xff\n")
    done = hostagent("import", "cron", *(word.format(image=image) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert message.format(image=image) in done.stderr


def test_timers_are_read_where_systemd_reads_them(tmp_path: Path) -> None:
    """With their drop-ins and a package's service; ours and masked ones are left alone."""
    for name, text in {
        "etc/systemd/system/backup.timer": "[Timer]\nOnCalendar=daily\n",
        "etc/systemd/system/backup.timer.d/when.conf": "[Timer]\nOnCalendar=\nOnCalendar=weekly\n",
        "usr/lib/systemd/system/backup.service": "[Service]\nExecStart=/bin/backup\nNice=1\n",
        "usr/lib/systemd/system/backup.service.d/a.conf": "[Service]\nNice=2\n",
        "etc/systemd/system/backup.service.d/a.conf": "[Service]\nNice=3\n",
        "etc/systemd/system/hostagent-x.timer": "[Unit]\nX-Hostagent=x\n",
        "usr/lib/systemd/system/fstrim.timer": "[Timer]\nOnCalendar=daily\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    system = tmp_path / "etc/systemd/system"
    (system / "masked.timer").symlink_to("/dev/null")
    words = ("import", "timers", "--root", tmp_path, "--timezone", "UTC")
    done = hostagent(*words)
    assert (done.returncode, done.stderr) == (
        0,
        f"warning: {system}/backup.timer: is not enabled, and its job would run\n",
    )
    assert tomllib.loads(done.stdout)["job"] == {
        "backup": {"command": "/bin/backup", "calendar": "weekly", "missed": "skip", "nice": 3}
    }
    (system / "timers.target.wants").mkdir()
    (system / "timers.target.wants/backup.timer").symlink_to("../backup.timer")
    assert hostagent(*words).stderr == ""


def test_a_timer_and_a_service_elsewhere_are_read_from_files(tmp_path: Path) -> None:
    """Beside each other or not; what is no unit file is bad input."""
    timer, service = tmp_path / "a/x.timer", tmp_path / "b/x.service"
    for path, text in {timer: "[Timer]\nOnCalendar=daily\n", service: "[Service\n"}.items():
        path.parent.mkdir()
        path.write_text(text)
    done = hostagent("import", "timers", timer, service)
    assert (done.returncode, done.stdout) == (2, "")
    assert f'{service}:1:1: "[Service" is neither a [Section] nor Directive=value' in done.stderr
    done = hostagent("import", "timers", tmp_path / "x.conf")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/x.conf is neither a .timer nor a .service" in done.stderr
    service.write_text("[Service]\nExecStart=/bin/x\n")
    done = hostagent("import", "timers", service, "--timezone", "UTC")
    assert (done.returncode, done.stderr) == (
        0,
        f"warning: {service}: none of these timers starts it\n",
    )
    out = tmp_path / "jobs.toml"
    done = hostagent("import", "timers", timer, service, "--timezone", "UTC", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: 1 job, 0 warnings\nnext: ")
    assert "systemctl disable --now each of these timers" in done.stdout


def test_nothing_to_import_is_an_empty_jobs_toml(tmp_path: Path) -> None:
    """And no failure: a host may have no crontab."""
    out = tmp_path / "jobs.toml"
    done = hostagent("import", "cron", "--root", tmp_path, "--out", out)
    assert (done.returncode, done.stdout) == (0, f"{out}: 0 jobs, 0 warnings\n")
    assert hostagent("check", out).returncode == 0
