"""The command line: exit codes, sentences, and how little a bare start loads."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import synthjax.training
from synthjax import cli, configs
from synthjax.cli import policies
from synthjax.configs import TrainConfig
from synthjax.errors import UserError
from synthjax.training import run_folder

Raiser = Callable[[BaseException], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Raiser:
    """Adds a command ``fail`` that raises the error it is given."""

    def register(error: BaseException) -> None:
        def fail(args: list[str]) -> None:
            """Fail."""
            raise error

        monkeypatch.setitem(cli.COMMANDS, "fail", fail)

    return register


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


def test_help_loads_neither_jax_nor_mujoco() -> None:
    code = (
        "import sys; from synthjax.cli import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('jax', 'mujoco', 'flax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"synthjax {command}" in capsys.readouterr().out


def test_unknown_command_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["docter"]) == 2
    assert capsys.readouterr().err == "Error: Unknown command 'docter': did you mean doctor?\n"


def test_unknown_flag_names_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--jsno"]) == 2
    assert capsys.readouterr().err == "Error: Unknown option '--jsno': did you mean --json?\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("doctor --verbose", "Unknown option '--verbose': 'synthjax doctor --help' lists the options."),
        ("bench --seconds long", "--seconds is 'long': give a number."),
        ("bench --seconds inf", "--seconds is inf: give a finite number."),
        ("eval --seconds nan", "--seconds is nan: give a finite number."),
        ("motion cut walk --out part.npz --start nan", "--start is nan: give a finite number."),
        ("bench --seconds", "--seconds lacks its value: 'synthjax bench --help' lists the options."),
        ("eval --episodes 1.5", "--episodes is '1.5': give a whole number."),
        ("eval --mode stochastik", "Unknown value of --mode 'stochastik': did you mean stochastic?"),
        ("bundle verfy FILE", "Unknown command 'verfy': did you mean verify?"),
    ],
)
def test_options_that_cannot_be_read_are_one_sentence(
    args: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(args.split()) == 2
    assert capsys.readouterr().err == f"Error: {said}\n"


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "install", "FILE"]) == 2
    shown = capsys.readouterr().err
    assert "--to" in shown
    assert shown.count("\n") == 1


def test_mistake_of_the_user_is_one_sentence(failing: Raiser, capsys: pytest.CaptureFixture[str]) -> None:
    failing(UserError("Lower --num-envs to 64."))
    assert cli.main(["fail"]) == 2
    assert capsys.readouterr().err == "Error: Lower --num-envs to 64.\n"


def test_debug_adds_the_traceback(failing: Raiser, capsys: pytest.CaptureFixture[str]) -> None:
    failing(UserError("Lower --num-envs to 64."))
    assert cli.main(["fail", "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("Error: Lower --num-envs to 64.\n")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EACCES, "choose another folder"),
        (errno.ENOTDIR, "choose another path"),
        (errno.EEXIST, "choose another path"),
        (errno.ENAMETOOLONG, "choose a shorter one"),
    ],
)
def test_failed_write_is_one_sentence(
    code: int, advice: str, failing: Raiser, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(OSError(code, "the system's words", "runs/walk/metrics.jsonl"))
    assert cli.main(["fail"]) == 2
    shown = capsys.readouterr().err
    assert advice in shown
    assert "runs/walk/metrics.jsonl" in shown
    assert "Traceback" not in shown


def test_a_training_that_fills_the_disk_is_to_be_resumed(
    failing: Raiser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(OSError(errno.ENOSPC, "the system's words", "runs/walk/metrics.jsonl"))
    monkeypatch.setitem(cli.COMMANDS, "train", cli.COMMANDS["fail"])
    assert cli.main(["--debug", "train"]) == 2
    assert "make room, then go on with 'synthjax train --resume'." in capsys.readouterr().err
    assert cli.main(["fail"]) == 2
    assert "make room, then give the command again." in capsys.readouterr().err


def test_a_platform_that_jax_lacks_is_one_sentence() -> None:
    code = "import sys; from synthjax.cli import main; sys.exit(main(['doctor']))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAX_PLATFORMS": "tpu"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "JAX has no device for JAX_PLATFORMS=tpu: unset it" in result.stderr
    assert "Traceback" not in result.stderr


def test_fault_of_the_program_is_not_hidden(failing: Raiser) -> None:
    failing(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main(["fail"])


def test_ctrl_c_has_the_shells_exit_code(failing: Raiser) -> None:
    failing(KeyboardInterrupt())
    assert cli.main(["fail"]) == 130


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[TrainConfig, Path, bool]]:
    """Collects what ``train`` would have been started with, in an empty working folder."""
    calls: list[tuple[TrainConfig, Path, bool]] = []
    fake = types.ModuleType("synthjax.training.run")
    fake.train = lambda config, folder, resume: calls.append((config, folder, resume))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(synthjax.training, "run", fake, raising=False)
    monkeypatch.chdir(tmp_path)
    return calls


def test_weak_motors_have_a_preset_of_their_own(trained: list) -> None:
    """Which a user gets without asking, and without PPO or always-on life does not."""
    for args, weakens in (
        ("--env continuous --body.actuation torque", True),
        ("--env continuous --body.actuation=torque --preset gpu", True),
        ("--env continuous", False),
        ("--env continuous --body.actuation strong", False),
        ("--env continuous --body.actuation torque --agent sac", False),
    ):
        assert cli.main(["train", *args.split()]) == 0
        config = trained[-1][0]
        assert (config.task.weakening.start > 1.0) == weakens, args
        assert config.motion.startswith("getup_straight") == weakens
        assert (config.agent.num_envs == 4096) == ("gpu" in args)
        assert config.body.actuation == configs.get("continuous").body.actuation or "--body" in args
    assert cli.main(["train", "--body.actuation", "torque"]) == 0
    assert trained[-1][0] == dataclasses.replace(
        configs.get("imitation"), body=configs.get("continuous", actuation="torque").body
    )


def test_motors_that_another_agent_alone_has_a_preset_for_are_told_of() -> None:
    said = configs.missing_preset("continuous", "sac", "torque")
    assert said is not None
    assert said.endswith("takes the one for pd: --agent ppo has one.")
    for env, agent, actuation in (
        ("continuous", "ppo", "torque"),
        ("continuous", "sac", "pd"),
        ("continuous", "sac", "strong"),
        ("imitation", "ppo", "torque"),
    ):
        assert configs.missing_preset(env, agent, actuation) is None


def test_train_starts_from_the_default_preset(trained: list) -> None:
    assert cli.main(["train", "--env", "imitation"]) == 0
    [(config, folder, resume)] = trained
    assert config == configs.get("imitation")
    assert folder.parent == run_folder.RUNS
    assert not resume


def test_train_takes_short_and_nested_options(trained: list) -> None:
    args = "--motion run --num-envs=64 --physics mjx --steps 4096 --agent.learning-rate 1e-3 --run-dir here"
    assert cli.main(["train", *args.split()]) == 0
    [(config, folder, _)] = trained
    assert (config.motion, config.steps, config.physics.engine) == ("run", 4096, "mjx")
    assert (config.agent.num_envs, config.agent.learning_rate) == (64, 1e-3)
    assert folder == Path("here")


@pytest.mark.parametrize("agent", ["ppo", "sac"])
@pytest.mark.parametrize("env", ["imitation", "continuous"])
def test_one_switch_randomises_either_environment(env: str, agent: str, trained: list) -> None:
    args = ["train", "--env", env, "--agent", agent, "--randomize"]
    assert cli.main([*args, "--randomization.mass", "0.5", "2"]) == 0
    config = trained[0][0]
    assert (config.randomize, config.randomization.mass) == (True, (0.5, 2.0))
    assert not configs.get(env, agent).randomize


@pytest.mark.parametrize("agent", ["ppo", "sac"])
def test_either_agent_takes_a_structured_actor(
    agent: str, trained: list, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["train", "--agent", agent, "--agent.chain-hidden", "32", "16", "--agent.actor"]
    assert cli.main([*args, "structured"]) == 0
    assert (trained[0][0].agent.actor, trained[0][0].agent.chain_hidden) == ("structured", (32, 16))
    assert configs.get("imitation", agent).agent.actor == "plain"
    assert cli.main([*args, "strctured"]) == 2
    shown = capsys.readouterr().err
    assert shown == "Error: Unknown value of --agent.actor 'strctured': did you mean structured?\n"
    assert cli.main(["train", "--agent", agent, "--agent.chain-hidden", "0"]) == 2
    assert "give the width of at least one" in capsys.readouterr().err
    assert len(trained) == 1


def test_train_keeps_whole_paths(trained: list) -> None:
    Path("clips").mkdir()
    assert cli.main(["train", "--motion", "walk,clips"]) == 0
    assert trained[0][0].motion == f"walk,{Path('clips').absolute()}"


@pytest.mark.parametrize("named", [True, False])
def test_resume_takes_the_settings_of_the_run_and_changes_them(trained: list, named: bool) -> None:
    before = dataclasses.replace(configs.get("imitation"), motion="cartwheel", seed=5)
    run_folder.save_config(run_folder.RUNS / "old", before)
    run = ["runs/old"] if named else []
    assert cli.main(["train", "--resume", *run, "--steps", "9000000"]) == 0
    assert trained == [(dataclasses.replace(before, steps=9_000_000), run_folder.RUNS / "old", True)]


def test_resume_refuses_another_agent(trained: list, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder.save_config(run_folder.RUNS / "old", configs.get("imitation"))
    assert cli.main(["train", "--resume", "runs/old", "--agent", "sac"]) == 2
    assert "a run of --env imitation --agent ppo: start a new one" in capsys.readouterr().err
    assert not trained


def test_bench_starts_from_the_preset_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import synthjax.training.bench as module

    calls = []
    monkeypatch.setattr(module, "bench", lambda *args: calls.append(args) or [])
    assert cli.main(["bench", "--num-envs", "4,8"]) == 0
    assert calls[0][0] == configs.get("imitation")
    assert calls[0][2] == [4, 8]


@pytest.mark.parametrize("option", ["--preset cpu", "--run-dir elsewhere"])
def test_resume_refuses_options_of_a_new_run(
    option: str, trained: list, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder.save_config(run_folder.RUNS / "old", configs.get("imitation"))
    assert cli.main(["train", "--resume", "runs/old", *option.split()]) == 2
    assert "leave out --preset and --run-dir" in capsys.readouterr().err
    assert not trained


@pytest.mark.parametrize("changed", [False, True])
def test_eval_changes_the_bodies_if_asked(
    changed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from synthjax.training import evaluator, saved

    class Report:
        def report(self, agent_state: object, episodes: int) -> dict[str, int]:
            return {"episodes": episodes}

        def table(self, report: dict[str, int]) -> str:
            return "table"

        def render(self, agent_state: object, path: Path) -> str:
            path.touch()
            return f"Video: {path}"

    calls: list[tuple] = []
    policy = types.SimpleNamespace(run="run", agent_state=None, step=1000)
    monkeypatch.setattr(saved, "load_policy", lambda *args, **options: policy)
    monkeypatch.setattr(evaluator, "make_evaluator", lambda *args: calls.append(args) or Report())
    run_folder.save_config(tmp_path, configs.get("imitation"))
    assert cli.main(["eval", str(tmp_path), *["--changed-bodies"] * changed]) == 0
    assert calls == [("run", True, None, changed, 1.0)]
    variant = "-changed-bodies" * changed
    made = {f"evaluation{variant}.json", f"video{variant}.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == made | {run_folder.CONFIG_FILE}
    said = capsys.readouterr().out
    assert "Video: " in said
    assert "after 1,000 steps: " in said
    assert cli.main(["eval", str(tmp_path), "--video", "walk.mp4", "--no-video"]) == 2
    assert "leave out --video" in capsys.readouterr().err
    assert cli.main(["eval", str(tmp_path), "--no-video", "--out", str(tmp_path / "alone.json")]) == 0
    assert "Video" not in capsys.readouterr().out
    assert cli.main(["eval", str(tmp_path), "--video", str(tmp_path / "walk.mp4")]) == 0
    assert {path.suffix for path in tmp_path.iterdir() if path.stem == "walk"} == {".mp4"}
    assert cli.main(["eval", str(tmp_path), "--video", "walk.gif"]) == 2
    assert "ends in .mp4" in capsys.readouterr().err
    calls.clear()
    assert cli.main(["eval", str(tmp_path), "--motors", "1.5", *["--changed-bodies"] * changed]) == 0
    assert calls == [("run", True, None, changed, 1.5)]
    assert any(path.name.endswith("motors-1.5.json") for path in tmp_path.iterdir())


def test_other_evaluations_than_the_run_s_own_have_names_of_their_own() -> None:
    assert policies._variant(policies.EvalOptions()) == ""
    assert policies._variant(policies.EvalOptions(changed_bodies=True)) == "-changed-bodies"
    assert policies._variant(policies.EvalOptions(motors=1.5)) == "-motors-1.5"
    options = policies.EvalOptions(
        best=True, fine=True, mode="stochastic", motion="clips/run.npz", seconds=2.5
    )
    assert policies._variant(options) == "-best-stochastic-fine-run-2.5s"


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        ("--env imitaton", "did you mean imitation?"),
        ("--num-env 4", "did you mean --num-envs?"),
        ("--step 1000", "did you mean --steps?"),
        ("--episode 4 --stepz 1000", "'--episode': did you mean --evaluation.episodes?"),
        ("--env continuous --no-ends-when-lst", "did you mean --task.no-ends-when-lost?"),
        ("--preset gpus", "did you mean gpu"),
        ("--agent poo", "did you mean ppo?"),
        ("--env continuous --task.fallen-share 0.9 --task.clip-share 0.2", "together"),
        ("--env continuous --task.guide.frames-per-second 0", "above zero"),
        ("--env continuous --task.life-seconds 0.01", "at least one control step"),
        ("--env continuous --task.weakening.start 0.5", "give 1 for motors that stay"),
        ("--env continuous --task.weakening.target 1.1", "--task.weakening.target"),
        ("--env continuous --task.weakening.pace 0", "above zero"),
        ("--env continuous --task.pushes.speed -1", "0 for none"),
        ("--env continuous --task.pushes.none-below 0.9", "below --task.pushes.full-above"),
        ("--randomization.mass 0.8 1.2", "add --randomize"),
        ("--randomize --randomization.bodies 0", "above zero"),
        ("--randomize --randomization.mass 0 1", "two factors above zero"),
        ("--randomize --randomization.friction 1.2 0.8", "the lower one first"),
        ("--randomize --randomization.strength 1 inf", "--randomization.strength is inf: give a finite"),
        ("--randomize --randomization.strength nan 1", "--randomization.strength is nan: give a finite"),
        ("--randomize --randomization.latency -0.01 0.1", "two seconds from 0 on"),
        ("--randomize --randomization.control-rate 15", "at least the 20 Hz of the run"),
        ("--randomize --randomization.noise.joint-angle -1", "--randomization.noise.joint-angle is -1"),
        ("--randomize --randomization.pushes.seconds 0", "above zero"),
        ("--env continuous --randomize --randomization.pushes.speed 1", "always-on life has --task.pushes"),
        ("--agent sac --agent.tau 2", "from 0 to 1"),
        ("--agent sac --agent.min-std 2", "below --agent.max-std"),
        ("--agent sac --agent.n-step 0", "above zero"),
        ("--num-envs 0", "above zero"),
        ("--steps -1", "above zero"),
        ("--agent.num-minibatches 3", "choose a divisor"),
        ("--seed -1", "--seed is -1: give a whole number from 0 to 4294967295"),
        ("--seed 4294967296", "from 0 to 4294967295"),
        ("--checkpoint-seconds -5", "0 for every epoch"),
        ("--checkpoint-seconds inf", "--checkpoint-seconds is inf: give a finite number"),
        ("--physics.sim-dt nan", "--physics.sim-dt is nan: give a finite number"),
        ("--physics.sim-dt 1e9", "--physics.sim-dt is 1000000000.0: give 0.0001 to 0.05 seconds"),
        ("--physics.sim-dt 1e-9", "give 0.0001 to 0.05 seconds"),
        ("--physics.n-substeps 1000", "for at most 1 s"),
        ("--task.drift.narrowest 1", "not be above"),
        ("--task.drift.rate 1", "below 1"),
        ("--task.drift.widen-above 0.001", "not be above --task.drift.widen-above"),
        ("--task.action-scale -1", "--task.action-scale is -1.0: give a number above zero"),
        ("--env continuous --task.action-scale 0", "above zero"),
        ("--task.action-scale nan", "--task.action-scale is nan: give a finite number"),
        ("--task.termination-distance nan", "--task.termination-distance is nan: give a finite number"),
        ("--task.start-noise.joint-angle -0.1", "at least 0"),
        ("--task.sampler.uniform-share 2", "from 0 to 1"),
        ("--task.sampler.failure-decay 1", "below 1"),
        ("--task.lookahead -1", "numbers from 0 on"),
        ("--env continuous --task.guide-floor 2", "from 0 to 1"),
        ("--env continuous --task.guide-weight -1", "at least 0"),
        ("--env continuous --task.phases.moving-enter inf", "finite number"),
        ("--agent.gamma 1.5", "--agent.gamma is 1.5: give a number from 0 to below 1"),
        ("--agent.gamma -1", "from 0 to below 1"),
        ("--agent.gae-lambda 2", "--agent.gae-lambda is 2.0: give a number from 0 to 1"),
        ("--agent.clip-ratio -1", "--agent.clip-ratio is -1.0: give a number above zero"),
        ("--agent.reward-scale 0", "above zero"),
        ("--agent.max-grad-norm 0", "above zero"),
        ("--agent.advantage-clip 0", "above zero"),
        ("--agent.observation-clip 0", "above zero"),
        ("--agent sac --agent.observation-clip 0", "above zero"),
        ("--agent sac --agent.priority-exponent -1", "at least 0"),
        ("--agent sac --agent.target-entropy nan", "finite number"),
        ("--agent.failure-decay 2", "below 1"),
        ("--agent.min-learning-rate -1", "above zero"),
        ("--agent.learning-rate nan", "finite number"),
        ("--agent.learning-rate 1", "--agent.learning-rate must not be above --agent.max-learning-rate"),
        ("--agent.min-learning-rate 1", "--agent.min-learning-rate must not be above --agent.learning-rate"),
        ("--agent.max-noise 0.01", "--agent.min-noise must not be above --agent.max-noise"),
        ("--agent.average-decay 1", "below 1"),
        ("--agent.settled-kl 2", "from 0 to 1"),
        ("--agent.settle-from 1", "below 1"),
        ("--agent.min-noise-failure 0", "above zero"),
        ("--agent.activation gelu", "relu"),
        ("--evaluation.seconds 0.01", "at least one control step"),
        ("--resume", "start one with 'synthjax train'"),
        ("--resume runs/none", "start one with 'synthjax train'"),
        ("--physics natve", "native"),
        ("--motoin run", "--motion"),
        ("--steps many", "--steps"),
        ("--env", "--env"),
    ],
)
def test_mistake_in_train_says_what_to_do(
    args: str, advice: str, trained: list, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *args.split()]) == 2
    shown = capsys.readouterr().err
    assert advice in shown
    assert "Traceback" not in shown
    assert not trained
    assert not list(Path().iterdir())


@pytest.mark.parametrize("resumed", [False, True])
def test_a_folder_that_cannot_be_written_is_found_before_anything_is_computed(
    resumed: bool, trained: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Permissions are simulated: they do not bind the administrator that a container runs as."""
    Path("file").write_text("in the way")
    assert cli.main(["train", "--run-dir", "file/run"]) == 2
    assert f"'{Path('file').absolute()}' cannot be written" in capsys.readouterr().err
    if resumed:
        run_folder.save_config(Path("run"), configs.get("imitation"))

    def refuse(dir: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert cli.main(["train", "--resume" if resumed else "--run-dir", "run"]) == 2
    shown = capsys.readouterr().err
    assert "choose another --run-dir" in shown
    assert shown.count("\n") == 1
    assert not trained


def test_motion_import_refuses_what_it_would_overwrite_or_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.npz"
    taken.write_text("precious")
    assert cli.main(["motion", "import", "walk.bvh", "--out", str(taken)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert taken.read_text() == "precious"
    assert cli.main(["motion", "import", "walk.bvh", "--out", "walk.fbx"]) == 2
    assert "ends in .npz" in capsys.readouterr().err
    bad = tmp_path / "bad.bvh"
    bad.write_text("HIERARCHY\nROOT hips\nOFFSET\n")
    assert cli.main(["motion", "import", str(bad), "--out", str(tmp_path / "new.npz")]) == 2
    assert "line 3: OFFSET stands outside" in capsys.readouterr().err.replace("\n", " ")
    assert cli.main(["motion", "inport"]) == 2
    assert "did you mean import" in capsys.readouterr().err
