-- $1 after, $2 up to, $3 limit
select id, at, reason, events, roll_ups
from audit_acceptances
where id > $1 and id <= $2
order by id
limit $3
