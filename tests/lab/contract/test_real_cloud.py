"""The contract's test functions, on what is real. They are the simulated cloud's, word for word."""

import pytest
from packages.kuryr.tests.contract.test_networks import *  # noqa: F403
from packages.kuryr.tests.contract.test_policies import *  # noqa: F403
from packages.kuryr.tests.contract.test_ports import *  # noqa: F403
from packages.kuryr.tests.contract.test_quotas import *  # noqa: F403
from packages.kuryr.tests.contract.test_security_groups import *  # noqa: F403
from packages.kuryr.tests.contract.test_tokens import *  # noqa: F403
from packages.kuryr.tests.contract.test_updates import *  # noqa: F403

pytestmark = pytest.mark.lab
