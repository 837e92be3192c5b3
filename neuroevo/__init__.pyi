# The public names: the one list of them, which `__init__.py` reads.
from .analysis import merge as merge
from .analysis import save_metrics as save_metrics
from .analysis import transfer as transfer
from .api import collect as collect
from .api import distill as distill
from .api import evolve as evolve
from .api import load as load
from .api import save_policy as save_policy
from .errors import UserError as UserError
from .loggers.contract import Logger as Logger
from .loggers.contract import Session as Session
from .run.run import Run as Run
from .solution import Solution as Solution
from .spaces import Box as Box
from .spaces import Discrete as Discrete
from .spaces import MultiDiscrete as MultiDiscrete
from .spaces import Spec as Spec
from .types import Descriptor as Descriptor
from .types import Encoding as Encoding
from .types import Environment as Environment
from .types import Objective as Objective
from .types import Policy as Policy
from .types import Strategy as Strategy

__version__: str
