from neuroevo.api import evolve as evolve
from neuroevo.api import load as load
from neuroevo.errors import UserError as UserError
from neuroevo.run.loop import Run as Run
from neuroevo.spaces import Box as Box
from neuroevo.spaces import Discrete as Discrete
from neuroevo.spaces import Spec as Spec
from neuroevo.store.export import save_metrics as save_metrics
from neuroevo.store.export import save_policy as save_policy
from neuroevo.studies.merge import merge as merge
from neuroevo.studies.transfer import transfer as transfer
from neuroevo.types import Encoding as Encoding
from neuroevo.types import Environment as Environment
from neuroevo.types import Logger as Logger
from neuroevo.types import Policy as Policy
from neuroevo.types import Session as Session
from neuroevo.types import Strategy as Strategy

__version__: str
