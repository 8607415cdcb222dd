"""Ground contacts per body, from the contact sensors that all three engines fill alike."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

# A slot of `<contact data="found force normal"/>`: found (1), force in the contact frame (3, normal
# component first), normal in world axes (3), pointing from geom1 to geom2.
_SLOT = 7
DATASPEC = sum(
    1 << int(field)
    for field in (
        mujoco.mjtConDataField.mjCONDATA_FOUND,
        mujoco.mjtConDataField.mjCONDATA_FORCE,
        mujoco.mjtConDataField.mjCONDATA_NORMAL,
    )
)


@dataclasses.dataclass(frozen=True)
class GroundContacts:
    """Where a body's ground sensors lie in ``sensordata`` and which body each slot belongs to."""

    sensor_index: np.ndarray  # (nslot * 7,) entries of sensordata
    slot_to_body: np.ndarray  # (nbody, nslot) 1 where the slot belongs to the body
    slot_sign: np.ndarray  # (nslot,) turns the contact normal into ground -> body

    @classmethod
    def of(cls, model: mujoco.MjModel, ground_geom: str) -> GroundContacts:
        """Finds every contact sensor between the ground and another geom of ``model`` (maybe none)."""
        ground = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, ground_geom)
        index: list[np.ndarray] = []
        owner: list[int] = []
        sign: list[float] = []
        for sensor in np.flatnonzero(model.sensor_type == mujoco.mjtSensor.mjSENS_CONTACT):
            pair = (int(model.sensor_objid[sensor]), int(model.sensor_refid[sensor]))
            kinds = (model.sensor_objtype[sensor], model.sensor_reftype[sensor])
            if kinds != (mujoco.mjtObj.mjOBJ_GEOM,) * 2 or ground not in pair:
                continue
            if model.sensor_intprm[sensor, 0] != DATASPEC:
                continue
            other = pair[1] if pair[0] == ground else pair[0]
            start, width = model.sensor_adr[sensor], model.sensor_dim[sensor]
            index.append(np.arange(start, start + width))
            owner += [int(model.geom_bodyid[other])] * (width // _SLOT)
            sign += [1.0 if pair[0] == ground else -1.0] * (width // _SLOT)
        return cls(
            sensor_index=np.concatenate(index) if index else np.zeros(0, np.int64),
            slot_to_body=(np.arange(model.nbody)[:, None] == np.array(owner, int)[None]).astype(np.float32),
            slot_sign=np.array(sign, np.float32),
        )

    def sum_per_body(self, readings: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Contacts, load and force of the ground on each body.

        Args:
          readings: (nslot * 7,), ``sensordata[sensor_index]`` of the last substep, N.

        Returns:
          number of contact points (nbody,); sum of the contact forces' magnitudes with friction
          (nbody,), N; sum of the normal forces of the ground ON the body (nbody, 3), world axes, N.
        """
        slots = readings.reshape(-1, _SLOT)
        found = slots[:, 0] > 0  # every filled slot holds the number of matches, hence the comparison
        magnitude = jnp.sqrt(jnp.sum(slots[:, 1:4] ** 2, axis=-1))
        push = (self.slot_sign * slots[:, 1])[:, None] * slots[:, 4:7]
        terms = jnp.concatenate([jnp.ones_like(push[:, :1]), magnitude[:, None], push], axis=-1)
        terms = jnp.where(found[:, None], terms, 0.0)
        sums = jnp.matmul(self.slot_to_body.astype(terms.dtype), terms, precision=jax.lax.Precision.HIGHEST)
        return sums[:, 0], sums[:, 1], sums[:, 2:]
