-- Rows of each part, for who waits
select 1::bigint as part, count(*) as rows
from users
union all
select 2, count(*)
from links
union all
select 3, count(*)
from (select 1 from events union all select 1 from clicks union all select 1 from clicks_gone) as event
union all
select 4, count(*)
from keys
union all
select 5, count(*)
from link_hours
union all
select 6, count(*)
from link_days
union all
select 7, count(*)
from link_totals
union all
select 8, count(*)
from link_referrers
union all
select 9, count(*)
from onces
union all
select 14, count(*)
from deleted_users
