-- Arrays: $1 name, $2 value
select knurl_count(name, value - knurl_total(name))
from unnest($1::text[], $2::bigint[]) as new (name, value)
