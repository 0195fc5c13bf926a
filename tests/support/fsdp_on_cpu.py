# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Runs a script as one of several processes with FSDP2 on the CPU, where accelerate would take DistributedDataParallel:

    accelerate launch --config_file examples/accelerate/fsdp2.yaml tests/support/fsdp_on_cpu.py examples/pretrain.py ...
"""

import runpy
import sys

from accelerate.state import AcceleratorState, DistributedType


initialize = AcceleratorState.__init__


def shard(self, *args, fsdp_plugin=None, **kwargs) -> None:
    initialize(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    self.fsdp_plugin = getattr(self, "fsdp_plugin", None) or fsdp_plugin
    if self.distributed_type == DistributedType.MULTI_CPU and self.fsdp_plugin is not None:
        self.distributed_type = DistributedType.FSDP


AcceleratorState.__init__ = shard
if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
