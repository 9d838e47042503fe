{#- What sessions need of an engine, and of the hour that is being built. -#}

{#- So long without a tuple, and a session is over. -#}
{% macro session_timeout() %}
  {{ return(adapter.dispatch('session_timeout', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__session_timeout() %}
  {{ return("to_minutes(cast(getvariable('session_timeout') as integer))") }}
{% endmacro %}

{% macro default__session_timeout() %}
  {{ return("interval " ~ var('session_timeout', 15) ~ " minute") }}
{% endmacro %}


{#- The beginning of the event hour that is being built: what is carried into it has another hour. -#}
{% macro event_hour() %}
  {{ return(adapter.dispatch('event_hour', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__event_hour() %}
  {{ return("cast(getvariable('event_hour') as timestamp)") }}
{% endmacro %}

{% macro default__event_hour() %}
  {{ return("cast(" ~ var('event_hour', 'null') ~ " as timestamp)") }}
{% endmacro %}


{#- A number of its own for each row, in whatever order is cheapest. -#}
{% macro any_row_no() %}
  {{ return(adapter.dispatch('any_row_no', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__any_row_no() %}
  {{ return("row_number() over ()") }}
{% endmacro %}

{% macro default__any_row_no() %}
  {{ return("monotonically_increasing_id()") }}
{% endmacro %}


{% macro milliseconds_between(start, end) %}
  {{ return(adapter.dispatch('milliseconds_between', 'flow_pipeline')(start, end)) }}
{% endmacro %}

{% macro duckdb__milliseconds_between(start, end) %}
  {{ return("date_sub('millisecond', " ~ start ~ ", " ~ end ~ ")") }}
{% endmacro %}

{% macro default__milliseconds_between(start, end) %}
  {{ return("(unix_millis(" ~ end ~ ") - unix_millis(" ~ start ~ "))") }}
{% endmacro %}


{#- The value that a session's first tuple has of a column. -#}
{% macro of_first(column) %}
  {{ return("max(case when is_first then " ~ column ~ " end) as " ~ column) }}
{% endmacro %}
