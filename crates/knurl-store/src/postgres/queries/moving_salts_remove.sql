-- Arrays: $1 day
delete from visitor_salts as was
using unnest($1::bigint[]) as gone (day)
where was.day = gone.day
