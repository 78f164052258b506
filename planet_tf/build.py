"""From a Config to the parts of an agent; for the entry points alone."""

from planet_tf.config import Config
from planet_tf.control.mpc_agent import MPCAgent
from planet_tf.models.rssm import RSSM
from planet_tf.models.world_model import WorldModel
from planet_tf.networks.basic import VectorHead
from planet_tf.networks.conv_ha import Decoder, Encoder


def world_model(config: Config, action_dim: int) -> WorldModel:
    """A freshly initialised world model for actions of size `action_dim`."""
    encoder = Encoder(config.conv_depth)
    dynamics = RSSM(
        action_dim,
        encoder.embed_size,
        stoch=config.state_size,
        deter=config.model_size,
        layers=config.model_layers,
        activation=config.activation,
        min_std=config.min_stddev,
        future_rnn=config.future_rnn,
    )
    return WorldModel(
        dynamics,
        encoder,
        Decoder(dynamics.feature_size, config.conv_depth),
        VectorHead(
            dynamics.feature_size,
            layers=config.num_layers,
            units=config.num_units,
            activation=config.activation,
        ),
        image_bits=config.image_bits,
        mean_only=config.mean_only,
        image_scale=config.image_loss_scale,
        reward_scale=config.reward_loss_scale,
        divergence_scale=config.divergence_scale,
        free_nats=config.free_nats,
    )


def agent(config: Config, model: WorldModel, action_dim: int) -> MPCAgent:
    """The planning agent, without exploration noise."""
    return MPCAgent(
        model,
        action_dim,
        horizon=config.planner_horizon,
        candidates=config.planner_amount,
        elites=config.planner_topk,
        iterations=config.planner_iterations,
    )
