"""ConnectionShare: one base network, a subnetwork for each task (paper section 2.2, Fig. 1c, Algorithm 1).

Differs from the paper where it is silent: each task has an output layer of its own (one sigmoid a task), which
its mask covers too if `net.mask_output`.
"""

from torch import nn

from ncs.nets.masked import MaskedNet

build: type[nn.Module] = MaskedNet
