select at, reason, events, roll_ups
from audit_acceptances
order by id
