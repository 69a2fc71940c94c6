-- $1 domains, $2 short_codes: those that some link answers, or answered
select domain, short_code
from links
join unnest($1::text[], $2::text[]) as asked (domain, short_code) using (domain, short_code)
where twin = 0
