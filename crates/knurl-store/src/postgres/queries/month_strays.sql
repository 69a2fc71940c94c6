-- $1 first millisecond, $2 first one after, $3 more than are worth counting: clicks that a month without a partition has
select count(*)
from (
  select 1
  from clicks_default
  where at >= $1 and at < $2
  limit $3
) as stray
