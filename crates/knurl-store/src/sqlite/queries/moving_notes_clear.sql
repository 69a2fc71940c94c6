-- Whatever was noted is compared row by row
delete from moving_notes
