"""From a Config to the parts of an agent; for the entry points alone."""

from planet_tf import totals
from planet_tf.collects import Collect
from planet_tf.config import Config, ConfigError
from planet_tf.control.distilled import Policy
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.models.disagreement import Ensemble
from planet_tf.models.drnn import DRNN
from planet_tf.models.rssm import RSSM
from planet_tf.models.ssm import SSM
from planet_tf.models.value import Value
from planet_tf.models.world_model import WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder
from planet_tf.run_folder import Run
from planet_tf.training.checkpoint import restore_weights
from planet_tf.training.learner import Learner

_MEMBERS = 5  # Of an ensemble, as in Plan2Explore.


def world_model(
    config: Config,
    action_dim: int,
    observations: dict[str, tuple[int, ...]] | None = None,
    *,
    decoder: type[Decoder] = Decoder,
    rssm: type[RSSM] = RSSM,
) -> WorldModel:
    """A freshly initialised world model.

    Args:
        config: The run's.
        action_dim: A.
        observations: Shapes by name, as in a world's `Spec`; for
            `state_diagnostics`, which predicts all but the image.
        decoder: The image head, for those who measure another.
        rssm: The dynamics of `--model=rssm`, likewise.

    Raises:
        ConfigError: `state_diagnostics` without anything to predict, or
            `gradient_heads` that there are not.
    """
    conv = (config.conv_depth, config.precision, config.conv_activation)
    encoder = Encoder(
        *conv, config.normalize_embed, totals.encoder_channels(config)
    )
    dynamics = _dynamics(config, action_dim, encoder.embed_size, rssm)
    size = dynamics.feature_size

    def head(name: str, shape: tuple[int, ...], inputs=size) -> VectorHead:
        return VectorHead(
            inputs,
            shape,
            config.num_layers,
            config.num_units,
            config.activation,
            config.precision,
            name=f"head_{name}",
        )

    diagnostics = {}
    if config.state_diagnostics:
        diagnostics = {
            name: head(name, shape)
            for name, shape in (observations or {}).items()
            if name not in ("image", "terminated")
        }
        if not diagnostics:
            raise ConfigError(
                f"--state_diagnostics: {config.tasks[0]} shows nothing but "
                "images"
            )
    known = ("image", "reward", *diagnostics)
    for name in config.gradient_heads:
        if name not in known:
            raise ConfigError(
                f"--gradient_heads: there is no head {name!r}, only "
                f"{', '.join(known)}"
            )
    image, reward = decoder(size, *conv), head("reward", ())
    # Last, so that all else starts with the same weights as without them.
    value = ensemble = None
    if config.value_loss_scale:
        value = Value(head("value", ()), config.discount, config.value_lambda)
    if config.explores:
        ensemble = Ensemble(
            [
                head(f"ensemble_{i}", (config.state_size,), size + action_dim)
                for i in range(_MEMBERS)
            ]
        )
    return WorldModel(
        dynamics,
        encoder,
        image,
        reward,
        diagnostics=diagnostics,
        value=value,
        ensemble=ensemble,
        gradient_heads=config.gradient_heads,
        image_bits=config.image_bits,
        encode_motion=config.encode_motion,
        image_every=config.image_loss_every,
        center_images=config.center_images,
        mean_only=config.mean_only,
        image_scale=config.image_loss_scale,
        reward_scale=config.reward_loss_scale,
        value_scale=config.value_loss_scale,
        divergence_scale=config.divergence_scale,
        free_nats=config.free_nats,
        prior_scale=config.prior_divergence_scale,
        global_scale=config.global_div_scale,
        overshooting_scale=config.overshooting_scale,
        overshooting_reward_scale=config.overshooting_reward_scale,
        overshooting_distance=config.overshooting_distance,
        overshooting_stop=config.os_stop_posterior_grad,
    )


def restored(run: Run) -> WorldModel:
    """The world model of a run, with the weights of its checkpoint.

    Raises:
        ValueError: They cannot be read.
    """
    model = world_model(run.config, run.action_dim, run.observations)
    restore_weights(run.checkpoint, model)
    return model


def learner(config: Config, model: WorldModel) -> Learner:
    """What trains a world model, with a fresh optimizer.

    Args:
        config: The run's.
        model: As from `world_model`.
    """
    return Learner(
        model, config.main_learning_rate, config.main_gradient_clipping
    )


def _dynamics(
    config: Config, action_dim: int, embed_size: int, rssm: type[RSSM]
) -> RSSM | SSM | DRNN:
    """The cell that `--model` names."""
    sizes = (action_dim, embed_size, config.state_size, config.model_size)
    if config.model == "ssm":
        return SSM(
            *sizes,
            activation=config.activation,
            min_std=config.min_stddev,
            precision=config.precision,
        )
    if config.model == "drnn":
        return DRNN(
            *sizes,
            min_std=config.min_stddev,
            encoder_to_decoder=config.drnn_encoder_to_decoder,
            sample_to_sample=config.drnn_sample_to_sample,
            sample_to_encoder=config.drnn_sample_to_encoder,
            decoder_to_encoder=config.drnn_decoder_to_encoder,
            decoder_to_sample=config.drnn_decoder_to_sample,
            action_to_decoder=config.drnn_action_to_decoder,
            precision=config.precision,
        )
    return rssm(
        *sizes,
        layers=config.model_layers,
        activation=config.activation,
        min_std=config.min_stddev,
        future_rnn=config.future_rnn,
        precision=config.precision,
    )


def agents(
    config: Config, model: WorldModel, action_dim: int
) -> dict[tuple, MPCAgent]:
    """The agents of a run's collectors, by `Collect.agent_key`.

    Collectors that plan alike share one, which is compiled once.
    """
    return {
        collect.agent_key: agent(config, model, action_dim, collect)
        for split in ("train", "test")
        for collect in config.collectors(split).values()
    }


def agent(
    config: Config,
    model: WorldModel,
    action_dim: int,
    collect: Collect | None = None,
    *,
    record: bool = False,
) -> MPCAgent:
    """The planning agent, of a collector or the run's, without noise."""
    collect = config.collector(collect or Collect())
    horizon, amount, topk, iterations = collect.planner
    return MPCAgent(
        model,
        action_dim,
        objective=collect.objective,
        horizon=horizon,
        candidates=amount,
        elites=topk,
        iterations=iterations,
        warm_start=config.planner_warm_start,
        record=record,
    )


def policy(config: Config, model: WorldModel, action_dim: int) -> Policy:
    """A freshly initialised policy, as large as the reward head."""
    return Policy(
        VectorHead(
            model.dynamics.feature_size,
            (action_dim,),
            config.num_layers,
            config.num_units,
            config.activation,
            name="head_policy",
        )
    )
