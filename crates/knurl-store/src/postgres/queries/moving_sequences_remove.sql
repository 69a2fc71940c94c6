-- Arrays: $1 name
select setval(case name when 'events' then 'event_ids' else name || '_id_seq' end::regclass, 1, false)
from unnest($1::text[]) as gone (name)
