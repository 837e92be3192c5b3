"""The parts of a neuroevolution run, as values that hold pure functions.

Each part is a NamedTuple of functions over pytrees, in the manner of optax: anything
with these fields is a part. Shapes have no batch dimensions unless stated; the engine
adds them with ``vmap``. A protocol states each function's contract; arguments are
passed by position. A part with a name is made by *options*: a frozen dataclass whose
``build`` method returns the part; see `neuroevo.traits` for its further attributes.
"""

from neuroevo.types.arrays import Action as Action
from neuroevo.types.arrays import Array as Array
from neuroevo.types.arrays import Data as Data
from neuroevo.types.arrays import EnvState as EnvState
from neuroevo.types.arrays import Genome as Genome
from neuroevo.types.arrays import Key as Key
from neuroevo.types.arrays import Memory as Memory
from neuroevo.types.arrays import Observation as Observation
from neuroevo.types.arrays import Output as Output
from neuroevo.types.arrays import Params as Params
from neuroevo.types.arrays import Start as Start
from neuroevo.types.arrays import Stats as Stats
from neuroevo.types.arrays import StrategyState as StrategyState
from neuroevo.types.arrays import Target as Target
from neuroevo.types.arrays import TaskState as TaskState
from neuroevo.types.encodings import ConvertGenome as ConvertGenome
from neuroevo.types.encodings import Decode as Decode
from neuroevo.types.encodings import Encoding as Encoding
from neuroevo.types.encodings import InitGenome as InitGenome
from neuroevo.types.encodings import LossOn as LossOn
from neuroevo.types.encodings import OuterLoss as OuterLoss
from neuroevo.types.encodings import StartDecoding as StartDecoding
from neuroevo.types.environments import Describe as Describe
from neuroevo.types.environments import Descriptor as Descriptor
from neuroevo.types.environments import Environment as Environment
from neuroevo.types.environments import HostEnvironment as HostEnvironment
from neuroevo.types.environments import Instances as Instances
from neuroevo.types.environments import Legal as Legal
from neuroevo.types.environments import Reset as Reset
from neuroevo.types.environments import Shown as Shown
from neuroevo.types.environments import Step as Step
from neuroevo.types.objectives import DrawFrom as DrawFrom
from neuroevo.types.objectives import Measure as Measure
from neuroevo.types.objectives import Objective as Objective
from neuroevo.types.objectives import ReadRows as ReadRows
from neuroevo.types.objectives import Split as Split
from neuroevo.types.policies import Act as Act
from neuroevo.types.policies import Actor as Actor
from neuroevo.types.policies import ActWith as ActWith
from neuroevo.types.policies import Apply as Apply
from neuroevo.types.policies import ApplyNear as ApplyNear
from neuroevo.types.policies import Head as Head
from neuroevo.types.policies import InitMemory as InitMemory
from neuroevo.types.policies import InitParams as InitParams
from neuroevo.types.policies import Loss as Loss
from neuroevo.types.policies import Policy as Policy
from neuroevo.types.policies import Rows as Rows
from neuroevo.types.strategies import Archive as Archive
from neuroevo.types.strategies import Ask as Ask
from neuroevo.types.strategies import Center as Center
from neuroevo.types.strategies import CurrentLoss as CurrentLoss
from neuroevo.types.strategies import Descent as Descent
from neuroevo.types.strategies import Elites as Elites
from neuroevo.types.strategies import Gather as Gather
from neuroevo.types.strategies import Improve as Improve
from neuroevo.types.strategies import InitStrategy as InitStrategy
from neuroevo.types.strategies import ReadElites as ReadElites
from neuroevo.types.strategies import Strategy as Strategy
from neuroevo.types.strategies import Tell as Tell
from neuroevo.types.strategies import TellDescribed as TellDescribed
from neuroevo.types.tasks import BeginOnHost as BeginOnHost
from neuroevo.types.tasks import BeginPlay as BeginPlay
from neuroevo.types.tasks import BindData as BindData
from neuroevo.types.tasks import Collect as Collect
from neuroevo.types.tasks import Collected as Collected
from neuroevo.types.tasks import DrawBatch as DrawBatch
from neuroevo.types.tasks import Host as Host
from neuroevo.types.tasks import HostPlay as HostPlay
from neuroevo.types.tasks import InitTask as InitTask
from neuroevo.types.tasks import LoadGroups as LoadGroups
from neuroevo.types.tasks import Normalize as Normalize
from neuroevo.types.tasks import Outcome as Outcome
from neuroevo.types.tasks import Picture as Picture
from neuroevo.types.tasks import Play as Play
from neuroevo.types.tasks import Record as Record
from neuroevo.types.tasks import Task as Task
from neuroevo.types.tasks import TaskConstants as TaskConstants
from neuroevo.types.tasks import Trajectory as Trajectory
from neuroevo.types.tasks import UpdateTask as UpdateTask
