"""Tests of parameters, presets and flags."""

import dataclasses
import logging
import subprocess
import sys

import pytest
from absl import flags

from planet_tf import __version__, config_flags
from planet_tf import config as configs
from planet_tf.collects import Collect
from planet_tf.config import PRESETS, Config
from planet_tf.validation import validate


def parse(*arguments) -> Config:
    values = flags.FlagValues()
    config_flags.define(values)
    values(["train", *arguments])
    return config_flags.read(values)


def test_defaults_are_those_of_the_original():
    """A changed default changes what every comparison means."""
    config = parse()
    assert config == Config() == PRESETS["default"]
    expected = {
        "batch_shape": (50, 50),
        "image_bits": 5,
        "num_layers": 3,
        "num_units": 300,
        "model": "rssm",
        "model_size": 200,
        "state_size": 30,
        "model_layers": 1,
        "future_rnn": True,
        "mean_only": False,
        "min_stddev": 0.1,
        "divergence_scale": 1.0,
        "global_div_scale": 0.0,
        "overshooting_scale": 0.0,
        "free_nats": 3.0,
        "image_loss_scale": 1.0,
        "reward_loss_scale": 10.0,
        "main_learning_rate": 1e-3,
        "main_gradient_clipping": 1000.0,
        "train_steps": 50_000,
        "test_steps": 50,
        "max_steps": 50_000_000,
        "num_seed_episodes": 5,
        "collect_every": 5000,
        "train_action_noise": 0.3,
        "planner_horizon": 12,
        "planner_amount": 1000,
        "planner_topk": 100,
        "planner_iterations": 10,
        "seed_action_correlation": 0.0,
        "render_quality": "original",
        "conv_depth": 32,
    }
    values = dataclasses.asdict(config)
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name):
    assert parse(f"--config={name}") == PRESETS[name]


def test_precedence():
    """Preset, then --params, then single flags, in whatever order given."""
    config = parse(
        "--planner_topk=3",
        "--params={planner_topk: 4, model_size: 20}",
        "--config=debug",
    )
    assert (config.planner_topk, config.model_size) == (3, 20)
    assert config.state_size == PRESETS["debug"].state_size
    # A flag that repeats the default is still a flag that was given.
    config = parse(
        "--config=debug",
        "--batch_shape=50,50",
        "--action_repeat=0",
        "--train_steps=100",
        "--test_steps=50",
    )
    assert config.batch_shape == (50, 50)


def test_params_in_the_syntax_of_the_original():
    """`1e-3` is text in YAML 1.1; '#' stands in for ','."""
    config = parse(
        "--params={tasks: [cheetah_run# walker_walk]# max_steps: 5e7#"
        " main_learning_rate: 1e-4# batch_shape: [10# 20]# free_nats: null#"
        " future_rnn: False# planner_iterations: 0# train_action_noise: 1}"
    )
    assert config.tasks == ("cheetah_run", "walker_walk")
    assert config.max_steps == 50_000_000 and type(config.max_steps) is int
    assert config.main_learning_rate == 1e-4
    assert config.batch_shape == (10, 20)
    assert config.free_nats is None and config.future_rnn is False
    assert type(config.train_action_noise) is float


def test_collectors_take_the_parameters_of_the_run(caplog):
    """The original's debug preset gives both lists, as text with '#'."""
    with caplog.at_level(logging.WARNING):
        config = parse(
            "--params={collect_every: 20# planner_horizon: 6#"
            " action_noise_ramp: -9# train_collects: [{after: 10# every: 10}#"
            " {name: wild# batch_size: 3# action_noise: 1e0# iterations: 0}]#"
            " test_collects: [{after: 10# horizon: 3}]}"
        )
    main, wild = config.collectors("train").values()
    assert list(config.collectors("train")) == ["train", "train_wild"]
    assert main.interval == (10, 10, -1) and wild.interval == (20, 20, -1)
    assert main.planner == (6, 1000, 100, 10)
    assert wild.planner == (6, 1000, 100, 0) and wild.batch_size == 3
    assert (main.action_noise, wild.action_noise) == (0.3, 1.0)
    assert main.action_noise_ramp == -9
    (test,) = config.collectors("test").values()
    assert test.planner == (3, 1000, 100, 10) and test.action_noise == 0.0
    assert "--test_collects: after has no effect" in caplog.text
    assert parse("--train_collects=[]").collectors("train") == {}


def test_what_acts_after_training_plans_as_in_tests():
    """Else an evaluation would differ from the score it explains."""
    config = Config(
        train_collects=(Collect(iterations=0),),
        test_collects=(Collect(horizon=3, topk=7), Collect("b", horizon=9)),
    ).as_tested()
    assert (config.planner_horizon, config.planner_topk) == (3, 7)
    assert config.planner_amount == 1000 and config.planner_iterations == 10
    # What is changed afterwards counts.
    config = dataclasses.replace(config, planner_horizon=5)
    assert config.collectors("test")["test"].planner == (5, 1000, 7, 10)


def test_who_explores():
    """Tests never do, and a collector may differ from the others."""
    assert not Config().explores
    config = parse("--collect_objective=disagreement")
    assert config.explores
    assert config.collectors("train")["train"].objective == "disagreement"
    assert config.collectors("test")["test"].objective == "reward"
    config = parse("--train_collects=[{}, {name: x, objective: disagreement}]")
    first, second = config.collectors("train").values()
    assert config.explores and first.agent_key == ("reward", *second.planner)


def test_random_collection_leaves_the_test_agent_its_planner():
    """One planner for both would score the actions of no agent at all."""
    config = parse("--train_collects=[{iterations: 0, action_noise: 1.0}]")
    assert config.collectors("train")["train"].planner[-1] == 0
    assert config.collectors("test")["test"].planner[-1] == 10
    # As released, both.
    config = parse("--params={planner_iterations: 0, train_action_noise: 1.0}")
    assert config.collectors("test")["test"].planner[-1] == 0


def test_flags_of_every_type():
    config = parse(
        "--tasks=cheetah_run,cup_catch",
        "--batch_shape=10, 20",
        "--max_steps=1e6",
        "--free_nats=none",
        "--nofuture_rnn",
        "--mean_only",
        "--activation=elu",
        "--main_learning_rate=1e-4",
    )
    assert config.tasks == ("cheetah_run", "cup_catch")
    assert config.batch_shape == (10, 20) and config.max_steps == 1_000_000
    assert config.free_nats is None and config.mean_only
    assert not config.future_rnn and config.activation == "elu"
    assert parse("--task=walker_walk").tasks == ("walker_walk",)


def test_parameters_without_meaning_are_named(caplog):
    """Old commands keep working, but not silently."""
    with caplog.at_level(logging.WARNING):
        config = parse(
            "--params={isolate_envs: process, loader_every: 5, "
            "network: conv_ha, planner: cem}"
        )
    assert config == Config()
    messages = [record.getMessage() for record in caplog.records]
    names = ["isolate_envs", "loader_every", "network", "planner"]
    assert len(messages) == 4
    assert all(n in m for n, m in zip(names, messages, strict=True)), messages


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--params={network: other}", "network=other .* only conv_ha"),
        ("--params={loader: dummy}", "loader=dummy .* only recent or"),
        ("--params={num_chunks: 2}", "num_chunks=2"),
        ("--params={train_collects: 3}", "train_collects: 3 is not a list"),
        ("--params={test_collects: [main]}", "'main' is not a dictionary"),
        (
            "--params={train_collects: [{}, {horizn: 3}]}",
            "train_collects: collector 2: .* 'horizn'; did you mean horizon",
        ),
        (
            "--params={train_collects: [{objective: state}]}",
            "objective=state: must be reward | disagreement",
        ),
        (
            "--params={train_collects: [{save_episode_dir: /tmp}]}",
            "save_episode_dir=/tmp is not available: all collectors",
        ),
        ("--params={task: cup_catch}", "'task'; did you mean tasks"),
        ("--params={planer_horizon: 3}", "did you mean planner_horizon"),
        ("--params={zzzz: 3}", "no parameter 'zzzz'. All parameters: tasks, "),
        ("--params={1: 3}", "no parameter 1"),
        ("--params={num_units: wide}", "num_units: 'wide' is not a finite"),
        ("--params={num_units: 1.5}", "num_units: 1.5 is not a whole"),
        ("--params={num_units: true}", "num_units: True is not"),
        ("--params={num_units: null}", "num_units: None is not"),
        ("--params={mean_only: 1}", "mean_only: 1 is not true or false"),
        ("--params={batch_shape: [5]}", "batch_shape: .* pair such as 50,50"),
        ("--params={activation: null}", "activation: None is not a name"),
        ("--params={", "--params is not YAML"),
        ("--params=planner_topk", "--params must be a dictionary"),
        ("--params=", "--params must be a dictionary"),
    ],
)
def test_bad_params_are_refused(argument, message):
    """The original ignores what it does not know."""
    with pytest.raises(ValueError, match=message):
        parse(argument)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--image_bits=9", "--image_bits=9: must be >= 1, <= 8"),
        ("--image_bits=0", "--image_bits=0"),
        ("--activation=gelu", "--activation=gelu: must be relu | elu"),
        ("--model=gru", "--model=gru: must be rssm | ssm | drnn"),
        ("--planner_horizon=0", "--planner_horizon=0: must be >= 1"),
        ("--planner_iterations=-1", "--planner_iterations=-1: must be >= 0"),
        ("--planner_amount=99", "--planner_topk=100: must be at most"),
        ("--main_learning_rate=0", "--main_learning_rate=0.0: must be > 0"),
        ("--main_gradient_clipping=0", "--main_gradient_clipping=0"),
        ("--train_action_noise=-0.1", "--train_action_noise=-0.1"),
        ("--free_nats=-1", "--free_nats=-1.0: must be >= 0"),
        ("--seed_action_correlation=1", "must be >= 0, < 1"),
        ("--seed=-1", "--seed=-1"),
        ("--batch_shape=0,50", "--batch_shape=0,50: needs"),
        ("--batch_shape=50,1", "--batch_shape=50,1: needs"),
        ("--batch_shape=2147483647,2", "2147483647,2: more than 1,000,000 f"),
        ("--action_repeat=25", "episode of cup_catch has only 41 rows"),
        ("--tasks=", "--tasks: needs"),
        ("--tasks=cup_catch,cup_catch", "names a task twice"),
        ("--tasks=walker-walk,walker_walk", "names a task twice"),
        ("--task=cup_catch --tasks=walker_walk", "exclude each other"),
        ("--overshooting_scale=1", "--overshooting_distance=0: .* 2 to 49"),
        (
            "--overshooting_scale=1 --overshooting_distance=50",
            "--overshooting_distance=50",
        ),
        (
            "--overshooting_reward_scale=1",
            "--overshooting_distance=0: .* 1 to 49, .* with --overshooting_rew",
        ),
        (
            "--overshooting_distance=3",
            ".*without --overshooting_scale or --overshooting_reward_scale$",
        ),
        (
            "--collect_while_training --train_collects=[]",
            "no effect without --train_collects",
        ),
        ("--discount=0.9", "--discount=0.9: .* without --value_loss_scale"),
        ("--value_loss_scale=1 --discount=1", "--discount=1.0: must be > 0, <"),
        (
            "--collect_objective=disagreement --train_collects=[]",
            "no collector in --train_collects follows",
        ),
        (
            "--collect_objective=disagreement --planner_iterations=0",
            "main: objective=disagreement: has no effect with iterations=0",
        ),
        (
            "--test_collects=[{objective:\tdisagreement}]",
            "objective=disagreement: tests have scores",
        ),
        ("--action_repeat=250", "an episode of cup_catch has only 5 rows"),
        ("--model=ssm --model_layers=2", "--model_layers=2: .*=ssm, only with"),
        ("--model=drnn --nofuture_rnn", "only with rssm"),
        ("--drnn_action_to_decoder", "no effect with --model=rssm, only with"),
        ("--gradient_heads=image,position", "=image,position: only image and"),
        (
            "--gradient_heads=reward --reward_loss_scale=0"
            " --divergence_scale=0",
            "--reward_loss_scale: one of them must not be 0, or nothing",
        ),
        ("--gradient_heads= --divergence_scale=0", "or nothing trains"),
        ("--test_collects=[]", "--test_collects: needs at least one"),
        ("--train_collects=[{},{}]", "a `name` of its own, not main, main"),
        (
            '--train_collects=[{"name":"a/b"}]',
            "name='a/b': needs 1 to 50 letter",
        ),
        (
            "--train_collects=[{name:\tx,batch_size:\t0}]",
            "--train_collects: x: batch_size=0: must be >= 1",
        ),
        ("--test_collects=[{topk:\t101,amount:\t100}]", "main: topk=101: must"),
        ("--train_collects=[{batch_size:\t257}]", "must be >= 1, <= 256"),
        # Updates are at 0, 50, 100, ...
        ("--train_collects=[{after:\t5,until:\t50}]", "it never collects"),
        ("--train_collects=[{until:\t50}]", "until=50: with after=5000 and"),
        (
            "--state_diagnostics --tasks=cup_catch,walker_walk",
            "--state_diagnostics: needs a single task",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(arguments, message):
    """Each would fail later and obscurely, or quietly do nothing."""
    with pytest.raises(ValueError) as error:
        parse(*[x.replace("\t", " ") for x in arguments.split(" ")])
    error.match(message.replace("|", r"\|").replace("[", r"\["))
    assert "\n" not in str(error.value)


def test_unknown_task_is_refused():
    """Under the name of the flag that was typed."""
    for flag in ("--task", "--tasks"):
        with pytest.raises(ValueError, match=f"^{flag}=cup_catc: .*cup_catch'"):
            parse(f"{flag}=cup_catc")


def test_borders_are_valid():
    validate(Config(batch_shape=(50, 251)))
    validate(Config(overshooting_scale=1.0, overshooting_distance=49))
    validate(Config(overshooting_reward_scale=1.0, overshooting_distance=1))
    validate(Config(planner_amount=100, planner_iterations=0, image_bits=8))
    validate(Config(train_action_noise=0.0, free_nats=0.0))


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--planner_horizn=3", "Did you mean: planner_horizon"),
        ("--num_units=wide", "--num_units=wide: 'wide' is not a finite"),
        ("--batch_shape=50", "--batch_shape=50: .* pair such as 50,50"),
        ("--config=fast", "should be one of"),
        ("--train_collects=[{topk: 3, topk: 4}]", "topk is given twice"),
    ],
)
def test_misspelled_flags_fail_while_parsing(argument, message):
    """Hours of training with a default nobody wanted."""
    with pytest.raises(flags.Error, match=message):
        parse(argument)


def test_help_shows_defaults_and_bounds():
    values = flags.FlagValues()
    config_flags.define(values)
    text = values.get_help()
    assert "(default: '50,50')" in text and "(default: '[{}]')" in text
    assert "Bits of colour that the model sees. (>= 1, <= 8)" in text
    text = " ".join(text.split())
    assert "With --config=cpu: 8,25; --config=debug: 5,10." in text


def test_saved_config_comes_back(tmp_path):
    path = tmp_path / "run" / "config.yaml"
    collects = (Collect(), Collect("wide", batch_size=4, iterations=0))
    for config in (
        *PRESETS.values(),
        Config(free_nats=None, seed=3, train_collects=collects),
    ):
        configs.save(config, path)
        assert configs.load(path) == config
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]
    path.write_text("{planer_horizon: 3}")
    with pytest.raises(ValueError, match="config.yaml.* no parameter planer"):
        configs.load(path)
    path.write_text("[")
    with pytest.raises(ValueError, match="config.yaml is not YAML"):
        configs.load(path)
    path.write_bytes(b"seed: \xff")
    with pytest.raises(ValueError, match="config.yaml is not text: its byte 6"):
        configs.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: xxx", "model=xxx: must be rssm | ssm | drnn"),
        ("test_collects: [{name: a, topk: 0}]", "collector a: topk=0: must be"),
    ],
)
def test_a_value_that_cannot_be_is_the_files(tmp_path, text, message):
    """Nobody gave a flag that could be blamed."""
    path = tmp_path / "config.yaml"
    path.write_text(f"version: {__version__}\n{text}\n")
    with pytest.raises(ValueError) as error:
        configs.load(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_differences_are_listed():
    assert configs.differences(Config(), Config()) == []
    changed = Config(seed=1, free_nats=None, test_collects=(Collect(topk=3),))
    assert configs.differences(Config(), changed) == [
        "seed: 0 -> 1",
        "free_nats: 3.0 -> None",
        "test_collects: [{}] -> [{'topk': 3}]",
    ]


def test_import_is_light():
    """Flag errors come at once; TensorFlow and the simulator do not load."""
    code = (
        "import sys, planet_tf.config_flags; "
        "print({'tensorflow', 'dm_control', 'mujoco'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout == "set()\n", result.stderr
