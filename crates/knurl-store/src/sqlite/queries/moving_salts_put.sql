-- ?1 and so on: the columns
insert into visitor_salts (day, salt)
values (?1, ?2)
on conflict (day) do update
set salt = excluded.salt
