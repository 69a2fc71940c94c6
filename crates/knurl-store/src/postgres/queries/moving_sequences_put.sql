-- Arrays: $1 name, $2 last id
select setval(case name when 'events' then 'event_ids' else name || '_id_seq' end::regclass, last_id)
from unnest($1::text[], $2::bigint[]) as new (name, last_id)
