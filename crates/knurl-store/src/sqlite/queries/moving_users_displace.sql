-- ?1 username key, ?2 its twin, ?3 e-mail key, ?4 its twin: whoever bears them bears nothing that can be in the way, until told anew.
-- Not deleted: a table that is empty for a moment is taken for one that somebody has emptied.
update users
set username_twin = -id,
  email_twin = -id
where (username_key = ?1 and username_twin = ?2) or (email_key = ?3 and email_twin = ?4)
returning id
