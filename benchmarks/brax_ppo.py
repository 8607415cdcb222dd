"""Rate of Brax PPO on its MJX humanoid; run by ``brax_comparison.py`` in an environment of Brax's own.

Brax's own settings for this task (2,048 environments, 32 minibatches of 1,024 unrolls of 10 steps, 8
passes), with the minibatches in proportion to the number of environments.  Prints JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json

from brax import envs
from brax.training.agents.ppo import train as ppo

NUM_MINIBATCHES, UNROLL_LENGTH, ENVS_PER_UNROLL = 32, 10, 2


def main() -> None:
    """Trains for one iteration more than asked: the first one compiles and is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--iterations", type=int, required=True)
    args = parser.parse_args()

    rates: list[float] = []
    environment = envs.get_environment("humanoid", backend="mjx")
    batch_size = args.num_envs // ENVS_PER_UNROLL
    ppo.train(
        environment,
        num_timesteps=(args.iterations + 1) * batch_size * NUM_MINIBATCHES * UNROLL_LENGTH,
        num_evals=args.iterations + 2,
        run_evals=False,
        num_envs=args.num_envs,
        batch_size=batch_size,
        num_minibatches=NUM_MINIBATCHES,
        unroll_length=UNROLL_LENGTH,
        num_updates_per_batch=8,
        episode_length=1000,
        discounting=0.97,
        learning_rate=3e-4,
        entropy_cost=1e-3,
        reward_scaling=0.1,
        normalize_observations=True,
        progress_fn=lambda _, metrics: rates.append(float(metrics["training/sps"])),
    )
    counted = rates[1:]
    print(
        json.dumps(
            {
                "num_envs": args.num_envs,
                # All counted iterations have the same length: their mean rate is the harmonic one.
                "env_steps_per_second": len(counted) / sum(1.0 / rate for rate in counted),
                "control_dt": float(environment.dt),
                "packages": {
                    n: importlib.metadata.version(n) for n in ("brax", "jax", "mujoco", "mujoco-mjx")
                },
            }
        )
    )


if __name__ == "__main__":
    main()
