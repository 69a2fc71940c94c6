-- ?1 username key, ?2 its twin, ?3 e-mail key, ?4 its twin: whoever bears them by what is no longer so
delete from users
where (username_key = ?1 and username_twin = ?2) or (email_key = ?3 and email_twin = ?4)
returning id
