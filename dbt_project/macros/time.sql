{#- Arithmetic on times, where engines differ. -#}

{#- Whole seconds from one time to a later one. -#}
{% macro seconds_between(start, end) %}
  {{ return(adapter.dispatch('seconds_between', 'flow_pipeline')(start, end)) }}
{% endmacro %}

{% macro duckdb__seconds_between(start, end) %}
  {{ return("date_sub('second', " ~ start ~ ", " ~ end ~ ")") }}
{% endmacro %}

{% macro default__seconds_between(start, end) %}
  {{ return("cast(floor((unix_millis(" ~ end ~ ") - unix_millis(" ~ start ~ ")) / 1000) as bigint)") }}
{% endmacro %}


{#- Milliseconds since 1970. -#}
{% macro milliseconds(time) %}
  {{ return(adapter.dispatch('milliseconds', 'flow_pipeline')(time)) }}
{% endmacro %}

{% macro duckdb__milliseconds(time) %}
  {{ return("epoch_ms(" ~ time ~ ")") }}
{% endmacro %}

{% macro default__milliseconds(time) %}
  {{ return("unix_millis(" ~ time ~ ")") }}
{% endmacro %}


{#- The moment at which an hour of a day begins. -#}
{% macro hour_of(day, hour) %}
  {{ return("(cast(" ~ day ~ " as timestamp) + " ~ hour ~ " * interval 1 hour)") }}
{% endmacro %}


{#- A source that was silent for so long was away: what comes then is a return, not the same visit. -#}
{% macro away() %}
  {{ return("interval 1 hour") }}
{% endmacro %}


{#- A machine with a flow so soon after the logs began may have been there before them. -#}
{% macro beginning_of_logs() %}
  {{ return("interval 1 minute") }}
{% endmacro %}
