-- Arrays: $1 username key, $2 its twin, $3 e-mail key, $4 its twin: whoever bears them by what is no longer so
delete from users
where (username_key, username_twin) in (select * from unnest($1::text[], $2::bigint[]))
  or (email_key, email_twin) in (select * from unnest($3::text[], $4::bigint[]))
returning id
