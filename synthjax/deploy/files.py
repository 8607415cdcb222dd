"""Names of the files in a bundle, and of their signatures."""

from __future__ import annotations

POLICY, OBSERVE, BODY = "policy.tflite", "observe.tflite", "body.xml"
INFER_SIGNATURE, OBSERVE_SIGNATURE = "infer", "observe"
# Of the part for training.
FINETUNE, PARAMS, REWARD, STARTS = "finetune.tflite", "params.bin", "reward.tflite", "starts.bin"
STEP_SIGNATURE, REWARD_SIGNATURE = "train_step", "reward"
TRAINING = frozenset((FINETUNE, PARAMS, REWARD, STARTS))
