-- $1 day
select salt
from visitor_salts
where day = $1
