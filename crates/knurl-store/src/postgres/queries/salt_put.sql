-- $1 day, $2 salt; the first one stays
insert into visitor_salts (day, salt)
values ($1, $2)
on conflict (day) do nothing
