"""What a log-out ends: `workbench doctor` knows what logind will kill, and how to keep a run from it."""

from pathlib import Path

import pytest

from workbench.words.telling import doctor


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine under systemd, seen from within a log-in session of `ada`, where loginctl cannot be asked."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    monkeypatch.setattr(doctor, "_user", lambda: "ada")
    monkeypatch.setattr(doctor, "_ask_logind", lambda: "")
    return tmp_path


def write(root: Path, place: str, text: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text)


YES, NO = "[Login]\nKillUserProcesses=yes\n", "[Login]\nKillUserProcesses=no\n"


@pytest.mark.parametrize(
    ("files", "killed"),
    [
        ({}, False),
        ({"etc/systemd/logind.conf": YES}, True),
        ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=yes\n; KillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "[Other]\nKillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "[Login]\n  KillUserProcesses = On \n"}, True),
        ({"usr/lib/systemd/logind.conf": YES}, True),
        ({"etc/systemd/logind.conf": "", "usr/lib/systemd/logind.conf": YES}, False),
        ({"etc/systemd/logind.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, False),
        ({"etc/systemd/logind.conf": NO, "run/systemd/logind.conf.d/50.conf": YES}, True),
        ({"etc/systemd/logind.conf.d/10.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, False),
        ({"etc/systemd/logind.conf.d/50.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, True),
        ({"etc/systemd/logind.conf.d/50.conf": "", "usr/lib/systemd/logind.conf.d/50.conf": YES}, False),
        ({"etc/systemd/logind.conf.d/50.not": YES}, False),
        ({"etc/systemd/logind.conf": YES + "KillExcludeUsers=bob ada\n"}, False),
        ({"etc/systemd/logind.conf": YES + "KillOnlyUsers=bob\n"}, False),
        ({"etc/systemd/logind.conf": NO + "KillOnlyUsers=ada\n"}, True),
    ],
)
def test_doctor_knows_what_logind_will_kill(root: Path, files: dict[str, str], killed: bool) -> None:
    for place, text in files.items():
        write(root, place, text)
    found = list(doctor._login(root))
    assert len(found) == killed
    for finding in found:
        assert finding.level == "note"
        assert "KillUserProcesses=yes" in finding.found
        assert "loginctl enable-linger" in finding.remedy
        assert "systemd-run --user --scope workbench" in finding.remedy


def test_doctor_asks_logind_where_no_file_says_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ask_logind", lambda: "yes")
    assert len(list(doctor._login(root))) == 1
    write(root, "etc/systemd/logind.conf", NO)
    assert not list(doctor._login(root))


def test_doctor_tells_a_session_from_the_service_manager(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lingering keeps the service manager, and what was started by it; it saves no session's processes."""
    write(root, "etc/systemd/logind.conf", YES)
    write(root, "var/lib/systemd/linger/ada", "")
    (session,) = doctor._login(root)
    assert "enable-linger" not in session.remedy
    assert "systemd-run" in session.remedy

    write(root, "proc/self/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope\n")
    assert not list(doctor._login(root))
    (root / "var/lib/systemd/linger/ada").unlink()
    (manager,) = doctor._login(root)
    assert "enable-linger" in manager.remedy

    write(root, "proc/self/cgroup", "0::/system.slice/cron.service\n")
    assert not list(doctor._login(root))
    write(root, "proc/self/cgroup", "0::/user.slice/user-0.slice/session-3.scope\n")
    monkeypatch.setattr(doctor, "_user", lambda: "root")
    assert not list(doctor._login(root)), "root is excluded unless it is said otherwise"
    (root / "run/systemd/system").rmdir()
    monkeypatch.setattr(doctor, "_user", lambda: "ada")
    assert not list(doctor._login(root)), "systemd does not run"
