-- $1 username_key that nobody holds any more: its first twin, if there is one, holds it now
update users
set username_twin = 0
where id = (select min(username_twin) from users where username_key = $1 and username_twin > 0)
  and not exists (select 1 from users where username_key = $1 and username_twin = 0)
