-- $1 id: links created from now on come after it. Only under `link_ids_lock`: a sequence can be set back.
select setval('links_id_seq', $1)
from links_id_seq
where last_value - (not is_called)::integer < $1
