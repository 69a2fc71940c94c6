-- Arrays: $1 name
select knurl_count(name, -knurl_total(name))
from unnest($1::text[]) as gone (name)
