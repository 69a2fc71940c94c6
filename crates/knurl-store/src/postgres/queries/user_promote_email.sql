-- $1 email_key that nobody holds any more: its first twin, if there is one, holds it now
update users
set email_twin = 0
where id = (select min(email_twin) from users where email_key = $1 and email_twin > 0)
  and not exists (select 1 from users where email_key = $1 and email_twin = 0)
