-- $1 username_keys, $2 email_keys: those that somebody holds
select 0, username_key
from users
where username_key = any($1::text[]) and username_twin = 0
union all
select 1, email_key
from users
where email_key = any($2::text[]) and email_twin = 0
