-- The member of staff that set a driver off duty, which the driver cannot lift. Null = the driver did, or it is unknown.
-- Processes of an earlier release set drivers on duty without clearing it, so it counts only while a driver is off duty.
alter table drivers add column off_duty_by text;
