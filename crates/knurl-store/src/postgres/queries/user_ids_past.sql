-- $1 id: users created from now on come after it. Only under `user_ids_lock`: a sequence can be set back.
select setval('users_id_seq', $1)
from users_id_seq
where last_value - (not is_called)::integer < $1
