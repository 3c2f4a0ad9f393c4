-- What a new job does to an unfinished one with its unique key. By default the new one is a duplicate, which is not stored. Its
-- `unique_mode` may be `replace`; `reject` has all jobs of the call refused, `skip` only itself.

local REPEATED_FOR = 60000 -- ms for which a repeat of a call that replaced a job replaces nothing

-- Return the job that keeps a new one from being stored, and the answer that describes it; nil if the new one is to be stored,
-- then also the running job that it has to wait for, if any.
local function find_holder(job, job_type)
  local holder, answer, state = holder_of(job.unique, job_type)
  if holder and job.unique_mode == 'replace' and RUNNING[state] then
    -- It has begun with what it has: a change that comes now is for another run.
    return nil, nil, holder
  end
  return holder, answer
end

-- Check the jobs of a call that reject others, or replace them and have files, before the first write. `jobs` has `stride` values of
-- each. Returns what to answer, or nil.
local function refuse_unique(jobs, options, stride) -- rare
  local taken, moved, earlier = {}, {}, {}
  local function check(number, id, job_type, job)
    local holder, answer = find_holder(job, job_type)
    if not holder and earlier[job.unique] then
      holder, answer = earlier[job.unique], earlier[job.unique] .. ' ' .. STATE.pending .. ' '
    end
    earlier[job.unique] = holder or id
    if job.unique_mode == 'reject' and holder then
      taken[#taken + 1] = number
      taken[#taken + 1] = answer
    elseif job.unique_mode == 'replace' and job.folder ~= '' and job.folder ~= (holder or id) then
      moved[#moved + 1] = number
      moved[#moved + 1] = holder or id
    end
  end

  for i = 1, #jobs, stride do
    local id, job = jobs[i], options[i]
    -- A repeat is told the same as before.
    if job and job.unique ~= '' and redis.call('EXISTS', P .. KEY.job .. id, P .. KEY.replaced .. id) == 0 then
      check((i + stride - 1) / stride, id, jobs[i + 1], job)
    end
  end
  return #taken > 0 and { 'REJECTED', taken } or #moved > 0 and { 'MOVED', moved } or nil
end

-- Replace the payload and the options of a waiting job by those of a new one, and move its time. One whose time has come keeps its
-- place, and its priority, unless it is another tenant's now. Returns the answer for the new one, and when the job is due: 0 if it
-- has to be put where it may run; and its priority. (In here it costs other calls nothing.)
local function replace_job(id, new_id, job, job_type, priority, envelope)
  local record = P .. KEY.job .. id

  -- Set the fields of options that a job may have, and delete those that it has not.
  local function set_options(values)
    for name, value in pairs(values) do
      if value ~= '' then
        redis.call('HSET', record, name, value)
      else
        redis.call('HDEL', record, name)
      end
    end
  end

  -- Let the job wait until a new time. Returns its state, and that time: 0 if it may run now, nil if it also waits for jobs.
  local function postpone(state, due, waits_for_jobs)
    if state ~= STATE.scheduled then
      -- It has failed with what it had.
      redis.call('ZREM', P .. state, id)
      redis.call('HDEL', record, 'attempts', 'crashes', 'lost', 'error')
      redis.call('HSET', record, 'since', now)
    end
    if waits_for_jobs or due > now then
      redis.call('HSET', record, 'state', STATE.scheduled, 'due', due)
      redis.call('ZADD', P .. KEY.scheduled, waits_for_jobs and NEVER or due, id)
      return STATE.scheduled, not waits_for_jobs and due or nil
    end
    redis.call('ZREM', P .. KEY.scheduled, id)
    redis.call('HSET', record, 'state', STATE.pending, 'since', now)
    redis.call('HDEL', record, 'due')
    return STATE.pending, 0
  end

  local fields = read_record(id, 'state', 'since', 'priority', 'waiting_for', 'unique', 'tenant', 'parked')
  local state, due = fields[1], nil
  -- The first write: a server that is out of memory refuses the whole call here.
  redis.call('HSET', record, 'envelope', envelope)
  set_options({
    expires = job.expires or '', give_up = job.give_up or '', retention = job.retention,
    bucket = job.limit_key ~= '' and job_type .. '/' .. job.limit_key or '',
    tenant = job.tenant or '', callback = job.callback,
  })
  redis.call('PEXPIRE', P .. KEY.unique .. (fields[5] or job.unique), job.unique_for)
  if IS_TIMED[state] then
    redis.call('HSET', record, 'priority', priority)
    local first = state == STATE.scheduled and tonumber(fields[2]) or now
    due = job.max_wait ~= '' and math.min(job.due, first + job.max_wait) or job.due
    state, due = postpone(state, due, fields[4])
  else
    priority = fields[3] or priority
    local is_throttled = fields[7] and fields[7] ~= ''
    if (fields[6] or nil) ~= job.tenant and not is_throttled then
      -- It may have come earlier in the same call: then it is in its list only now.
      push_queued()
      if leave_place(id, { state = state, priority = priority, since = fields[2], tenant = fields[6] }) then
        due = 0
      end
    end
  end
  local answer = id .. ' ' .. state .. ' ' .. priority .. ' replaced'
  redis.call('SET', P .. KEY.replaced .. new_id, answer, 'PX', REPEATED_FOR)
  count(COUNTER.replaced .. job_type, 1)
  return answer, due, priority
end
