"""From a Config to the parts of an agent; for the entry points alone."""

from planet_tf.config import Config
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.models.drnn import DRNN
from planet_tf.models.rssm import RSSM
from planet_tf.models.ssm import SSM
from planet_tf.models.world_model import WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder


def world_model(
    config: Config,
    action_dim: int,
    observations: dict[str, tuple[int, ...]] | None = None,
) -> WorldModel:
    """A freshly initialised world model.

    Args:
        config: The run's.
        action_dim: A.
        observations: Shapes by name, as in a world's `Spec`; for
            `state_diagnostics`, which predicts all but the image.

    Raises:
        ValueError: `state_diagnostics` without anything to predict.
    """
    encoder = Encoder(config.conv_depth)
    dynamics = _dynamics(config, action_dim, encoder.embed_size)
    size = dynamics.feature_size

    def head(name: str, shape: tuple[int, ...]) -> VectorHead:
        return VectorHead(
            size,
            shape,
            config.num_layers,
            config.num_units,
            config.activation,
            name=f"head_{name}",
        )

    diagnostics = {}
    if config.state_diagnostics:
        diagnostics = {
            name: head(name, shape)
            for name, shape in (observations or {}).items()
            if name != "image"
        }
        if not diagnostics:
            raise ValueError(
                "--state_diagnostics: this world shows nothing but images"
            )
    return WorldModel(
        dynamics,
        encoder,
        Decoder(size, config.conv_depth),
        head("reward", ()),
        diagnostics=diagnostics,
        image_bits=config.image_bits,
        mean_only=config.mean_only,
        image_scale=config.image_loss_scale,
        reward_scale=config.reward_loss_scale,
        divergence_scale=config.divergence_scale,
        free_nats=config.free_nats,
        global_scale=config.global_div_scale,
        overshooting_scale=config.overshooting_scale,
        overshooting_distance=config.overshooting_distance,
        overshooting_stop=config.os_stop_posterior_grad,
    )


def _dynamics(
    config: Config, action_dim: int, embed_size: int
) -> RSSM | SSM | DRNN:
    """The cell that `--model` names."""
    sizes = (action_dim, embed_size, config.state_size, config.model_size)
    if config.model == "ssm":
        return SSM(
            *sizes, activation=config.activation, min_std=config.min_stddev
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
        )
    return RSSM(
        *sizes,
        layers=config.model_layers,
        activation=config.activation,
        min_std=config.min_stddev,
        future_rnn=config.future_rnn,
    )


def agent(
    config: Config,
    model: WorldModel,
    action_dim: int,
    *,
    record: bool = False,
) -> MPCAgent:
    """The planning agent, without exploration noise."""
    return MPCAgent(
        model,
        action_dim,
        horizon=config.planner_horizon,
        candidates=config.planner_amount,
        elites=config.planner_topk,
        iterations=config.planner_iterations,
        record=record,
    )
