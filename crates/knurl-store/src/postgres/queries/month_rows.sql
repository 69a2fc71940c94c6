-- $1 first millisecond, $2 first one after: clicks of a retired month, and how many of them came from spools
select count(*), count(*) - count(*) filter (where source = 1)
from clicks_gone
where at >= $1 and at < $2
