"What all tests share."
import os

os.environ.setdefault('MPLBACKEND', 'Agg')  # no window, whatever the machine has

from hypothesis import settings

# No deadline: a machine that runs two things at once is slow now and then, and that is no fault of the code.
settings.register_profile('default', deadline=None)
# In CI the same examples every time, so that a red run is the change's own doing.
settings.register_profile('ci', deadline=None, derandomize=True)
settings.load_profile('ci' if os.environ.get('CI') else 'default')
