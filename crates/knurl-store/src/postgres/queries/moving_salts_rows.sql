-- $1 after, $2 up to, $3 limit
select day, salt
from visitor_salts
where day > $1 and day <= $2
order by day
limit $3
