select state, check_sum
from progress
where one = 1
