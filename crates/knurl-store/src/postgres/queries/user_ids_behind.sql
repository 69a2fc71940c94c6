-- $1 id: one row where users created from now on might not come after it.
select last_value
from users_id_seq
where last_value - (not is_called)::integer < $1
