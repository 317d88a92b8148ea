// Nested translucent surfaces by WebGL2. Of each surface only the nearest layer is shown, found by a first pass into the
// depth buffer; inner surfaces are drawn before outer ones. So nothing needs to be sorted, and folds leave no marks.

const SURFACE_VERTEX = `#version 300 es
in vec3 place, normal;
uniform mat4 toScreen;
uniform vec3 lower, size, eye;
out vec3 outwards, toEye;
void main() {
  vec3 at = lower + place * size;
  outwards = normal / max(length(normal), 1e-6);
  toEye = eye - at;
  gl_Position = toScreen * vec4(at, 1.0);
}`;

const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 outwards, toEye;
uniform vec3 colour, above;
uniform float opacity;
out vec4 seen;
void main() {
  vec3 n = normalize(outwards), v = normalize(toEye);
  float facing = clamp(dot(n, v), 0.0, 1.0);
  float lit = 0.5 + 0.5 * dot(n, normalize(v + above));
  float gloss = pow(max(dot(n, normalize(2.0 * v + above)), 0.0), 40.0) * (0.05 + 0.25 * opacity);
  float edge = pow(1.0 - facing, 2.5);
  float cover = mix(opacity, min(1.0, opacity + 0.55), edge);
  vec3 shade = colour * (0.35 + 0.75 * lit * lit);
  seen = vec4(shade * cover + gloss, min(1.0, cover + gloss));
}`;

// Normals of vertices: those of the triangles around each, by their area.
function surfaceNormals(mesh) {
  const { vertices, faces, lower, upper } = mesh;
  const scale = [0, 1, 2].map((axis) => (upper[axis] - lower[axis]) / 65535);
  const out = new Float32Array(vertices.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const ux = (vertices[b] - vertices[a]) * scale[0];
    const uy = (vertices[b + 1] - vertices[a + 1]) * scale[1];
    const uz = (vertices[b + 2] - vertices[a + 2]) * scale[2];
    const vx = (vertices[c] - vertices[a]) * scale[0];
    const vy = (vertices[c + 1] - vertices[a + 1]) * scale[1];
    const vz = (vertices[c + 2] - vertices[a + 2]) * scale[2];
    for (const at of [a, b, c]) {
      out[at] += uy * vz - uz * vy;
      out[at + 1] += uz * vx - ux * vz;
      out[at + 2] += ux * vy - uy * vx;
    }
  }
  return out;
}

function surfaceProgram(gl) {
  const program = gl.createProgram();
  for (const [kind, code] of [[gl.VERTEX_SHADER, SURFACE_VERTEX], [gl.FRAGMENT_SHADER, SURFACE_FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, code);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error("no shaders");
  return program;
}

// Puts one mesh where the graphics card finds it.
function surfaceLoad(gl, program, mesh) {
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  const attribute = (name, data, type, normalised) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, type, normalised, 0, 0);
  };
  attribute("place", mesh.vertices, gl.UNSIGNED_SHORT, true);
  attribute("normal", mesh.normals, gl.FLOAT, false);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.faces, gl.STATIC_DRAW);
  return array;
}

// draw(camera, up, shown) for the meshes {vertices, faces, normals, lower, upper, colour, opacity}, outer ones first.
function surfaceDrawing(gl, meshes) {
  const program = surfaceProgram(gl);
  const arrays = meshes.map((mesh) => surfaceLoad(gl, program, mesh));
  const place = (name) => gl.getUniformLocation(program, name);
  const [toScreen, lower, size, eye, colour, above, opacity] =
    ["toScreen", "lower", "size", "eye", "colour", "above", "opacity"].map(place);
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA); // colours come multiplied by their cover
  gl.depthFunc(gl.LEQUAL);

  const drawOne = (mesh, array) => {
    const triangles = () => gl.drawElements(gl.TRIANGLES, mesh.faces.length, gl.UNSIGNED_SHORT, 0);
    gl.bindVertexArray(array);
    gl.uniform3fv(lower, mesh.lower);
    gl.uniform3fv(size, mesh.upper.map((v, i) => v - mesh.lower[i]));
    gl.uniform3fv(colour, rgbOf(mesh.colour).map((v) => v / 255));
    gl.uniform1f(opacity, mesh.opacity);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.colorMask(false, false, false, false);
    triangles();
    gl.colorMask(true, true, true, true);
    triangles();
  };
  return (camera, up, shown) => {
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniformMatrix4fv(toScreen, false, camera.matrix);
    gl.uniform3fv(eye, camera.place);
    gl.uniform3fv(above, up);
    for (let i = meshes.length - 1; i >= 0; i--) if (shown.has(meshes[i].name)) drawOne(meshes[i], arrays[i]);
  };
}
